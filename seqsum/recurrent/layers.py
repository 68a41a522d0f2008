"""Whole recurrent layers: stacked cells over a batch of sequences, with the signature of torch.nn."""

from __future__ import annotations

import re
from typing import Any, cast

import torch
from torch import Tensor, nn

from seqsum.recurrent.cells import LSTMCell, OutputActivation
from seqsum.recurrent.unroll import Backend, check_backend, unroll


class LSTM(nn.Module):
    """A hand-written LSTM that takes the place of `torch.nn.LSTM`; the equations are in `LSTMCell`.

    Same arguments, same outputs and gradients, and `load_state_dict` takes the weights of a
    `torch.nn.LSTM`. Fresh weights start as `LSTMCell` says, not as in torch.

    Args:
        input_size: Features per step, `F`.
        hidden_size: Units, `H`.
        num_layers: Layers, `L`; each reads the outputs of the one below.
        bias: Whether the gates have biases.
        batch_first: Whether inputs and outputs are `(B, T, …)` rather than `(T, B, …)`.
        backend: How the loop over time runs: "eager", "script" or "auto", see `unroll`.
        output_activation: "tanh" or "identity", of the last layer; see `LSTMCell`.

    Raises:
        ValueError: A size below one, an unknown backend or output activation.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        *,
        backend: Backend = "auto",
        output_activation: OutputActivation = "tanh",
    ) -> None:
        super().__init__()
        if num_layers < 1:
            raise ValueError(f"`num_layers` (={num_layers}) must be at least 1")
        check_backend(backend)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.batch_first = batch_first
        self.backend = backend
        self.cells = nn.ModuleList(
            LSTMCell(
                input_size if layer == 0 else hidden_size,
                hidden_size,
                bias,
                output_activation=output_activation if layer == num_layers - 1 else "tanh",
            )
            for layer in range(num_layers)
        )
        self.register_load_state_dict_pre_hook(_from_torch_names)

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None, *, mask: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run all layers over a batch of sequences.

        Args:
            input: `(B, T, F)` with `batch_first`, else `(T, B, F)`.
            hx: Initial hidden and memory, `(L, B, H)` each; zeros by default.
            mask: `(B, T)`, or `(T, B)` without `batch_first`, bool. Where it is False the row's state
                is carried over and its output is zero.

        Returns:
            Outputs of the last layer, `(B, T, H)` or `(T, B, H)`, and the final hidden and memory,
            `(L, B, H)` each.

        Raises:
            ValueError: Shapes that don't fit.
        """
        if input.dim() != 3 or input.shape[-1] != self.input_size:
            raise ValueError(
                f"`input` of shape {tuple(input.shape)} must have three axes, "
                f"the last of size `input_size` (={self.input_size})"
            )
        if mask is not None and mask.shape != input.shape[:2]:
            raise ValueError(
                f"`mask` of shape {tuple(mask.shape)} must have the first two axes of `input` {tuple(input.shape[:2])}"
            )
        outputs = input.transpose(0, 1) if self.batch_first else input  # (T, B, F)
        mask = mask.transpose(0, 1) if mask is not None and self.batch_first else mask  # (T, B)
        state_shape = (self.num_layers, outputs.shape[1], self.hidden_size)
        if hx is not None and (hx[0].shape != state_shape or hx[1].shape != state_shape):
            raise ValueError(
                f"`hx` of shapes {[tuple(state.shape) for state in hx]} must be two of {state_shape}, (L, B, H)"
            )
        # A sum over many steps needs float32: under autocast (`--trainer.precision=bf16-mixed`) the
        # encoder runs in the lower precision and the recurrence does not.
        with torch.autocast(input.device.type, enabled=False):
            return self._run(outputs.to(self._cells()[0].weight_hh.dtype), hx, mask)

    def _run(
        self, outputs: Tensor, hx: tuple[Tensor, Tensor] | None, mask: Tensor | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Layer after layer, time first: `(T, B, F)` -> outputs, (hidden, memory)."""
        final_states: list[list[Tensor]] = []
        for layer, cell in enumerate(self._cells()):
            state = cell.initial_state(outputs.shape[1], outputs) if hx is None else [hx[0][layer], hx[1][layer]]
            outputs, final_state = unroll(cell, outputs, state, mask, backend=self.backend)  # (T, B, H)
            final_states.append(final_state)
        hidden, memory = (torch.stack(states) for states in zip(*final_states, strict=True))  # (L, B, H)
        return outputs.transpose(0, 1) if self.batch_first else outputs, (hidden, memory)

    def _cells(self) -> list[LSTMCell]:
        return cast("list[LSTMCell]", list(self.cells))

    def torch_state_dict(self) -> dict[str, Tensor]:
        """The weights under the names of `torch.nn.LSTM`, ready for its `load_state_dict`."""
        return {
            f"{name}_l{layer}": tensor
            for layer, cell in enumerate(self._cells())
            for name, tensor in cell.state_dict().items()
        }


def _from_torch_names(module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Rename `weight_ih_l0` to `cells.0.weight_ih` and so on, in place, before the weights are loaded."""
    for key in [key for key in state_dict if key.startswith(prefix)]:
        if match := re.fullmatch(r"((?:weight|bias)_(?:ih|hh))_l(\d+)", key.removeprefix(prefix)):
            state_dict[f"{prefix}cells.{match[2]}.{match[1]}"] = state_dict.pop(key)
