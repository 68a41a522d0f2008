"""Long short-term memory."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqsum.recurrent.cells.base import check_whole
from seqsum.recurrent.cells.packed import PackedCell, unchanged

OutputActivation = Literal["tanh", "identity"]


class LSTMCell(PackedCell):
    r"""Long short-term memory (Hochreiter & Schmidhuber, 1997) with a forget gate (Gers et al., 2000).

    The equations, with the names of the code, the logistic function `σ` and the elementwise product `*`:

        input_gate  = σ(W_ii x + b_ii + W_hi hidden + b_hi)
        forget_gate = σ(W_if x + b_if + W_hf hidden + b_hf)
        cell_update = tanh(W_ig x + b_ig + W_hg hidden + b_hg)
        output_gate = σ(W_io x + b_io + W_ho hidden + b_ho)
        cell_state' = forget_gate * cell_state + input_gate * cell_update
        hidden'     = output_gate * tanh(cell_state')
                    = W_hr (output_gate * tanh(cell_state'))     with proj_size (Sak et al., 2014)
        output      = hidden'                                with output_activation="tanh", as in torch
                    = output_gate * cell_state'              with output_activation="identity"

    The identity output doesn't change the recurrence. It lets the next layer read the cell state without
    `tanh`, so that a linear head can count beyond the values seen in training. With `layer_norm` the `tanh`
    reads the normalised cell state (Ba et al., 2016); the cell state itself is not normalised.

    Weights are packed and named as in `torch.nn.LSTMCell`, with rows in the order input gate, forget gate,
    cell update, output gate (torch's i, f, g, o). Keras has the same order, but transposed matrices and a
    single bias. See `PackedCell` for the initial values; in addition, the forget gate's `bias_ih` starts at
    one, so that at first the cell state is kept and gradients pass (Jozefowicz et al., 2015).

        weight_ih (4·H, F) · weight_hh (4·H, P) · bias_ih (4·H,) · bias_hh (4·H,) · weight_hr (P, H)

    With `proj_size`, `P` is `proj_size`. Without, `P` is `H` and there is no `weight_hr`.

    Args:
        input_size: Features per step, `F`.
        hidden_size: Units, `H`.
        bias: Whether the gates have biases.
        device, dtype: Device and type of the parameters.
        proj_size: Size of the projected hidden state; 0 for no projection.
        output_activation: "tanh" or "identity", see the equations.
        options: `recurrent_dropout`, `layer_norm` and `recurrent_bias`, see `PackedCell`.

    Raises:
        TypeError: A size is not an integer, or a switch is not a bool.
        ValueError: A size is below one, `proj_size` is negative or not below `hidden_size`,
            `output_activation` is unknown or can't be used with `proj_size`, or a probability is outside [0, 1].
    """

    gate_names = ("input_gate", "forget_gate", "cell_update", "output_gate")
    state_names = ("hidden", "cell_state")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        proj_size: int = 0,
        output_activation: OutputActivation = "tanh",
        **options: Any,
    ) -> None:
        for name, size in (("hidden_size", hidden_size), ("proj_size", proj_size)):
            check_whole(name, size)
        if not 0 <= proj_size < max(hidden_size, 1):
            raise ValueError(
                f"`proj_size` (={proj_size}) must be smaller than `hidden_size` (={hidden_size}), and 0 for none"
            )
        if output_activation not in get_args(OutputActivation):
            raise ValueError(
                f"`output_activation` (={output_activation!r}) must be one of {get_args(OutputActivation)}"
            )
        if proj_size and output_activation == "identity":
            raise ValueError(f"`output_activation` (='identity') does not go with `proj_size` (={proj_size})")
        size = proj_size or hidden_size
        states = [size, hidden_size]
        sizes: dict[str, Any] = {"num_gates": 4, "state_size": states, "output_size": size}
        super().__init__(input_size, hidden_size, bias, device=device, dtype=dtype, **sizes, **options)
        self.proj_size = proj_size
        self.output_activation = output_activation
        like = self.weight_hh
        self.weight_hr = nn.Parameter(like.new_empty(proj_size, hidden_size)) if proj_size else None
        norm = nn.LayerNorm(hidden_size, bias=False, device=like.device, dtype=like.dtype)
        self.norm_cell_state = norm if self.layer_norm else unchanged
        self.reset_parameters()

    def start(self, name: str, parameter: Tensor) -> None:
        if name == "weight_hr":
            nn.init.xavier_uniform_(parameter)
        else:
            super().start(name, parameter)
        if name == "bias_ih":
            nn.init.ones_(parameter[self.hidden_size : 2 * self.hidden_size])

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        """Load older state dicts too, in which the cell state was called memory."""
        if (weight := state_dict.pop(f"{prefix}norm_memory.weight", None)) is not None:
            state_dict[f"{prefix}norm_cell_state.weight"] = weight
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def gates(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compute input, forget, cell update and output gate: `(…, 4·H)`, [hidden, cell_state] -> `(…, H)` each."""
        summed = projected + self.recur(state)
        # not chunk: TorchScript's derivative of chunk drops gates without a gradient
        input_gate, forget_gate, cell_update, output_gate = summed.split(self.hidden_size, dim=-1)
        return (
            torch.sigmoid(input_gate),
            torch.sigmoid(forget_gate),
            torch.tanh(cell_update),
            torch.sigmoid(output_gate),
        )

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Run one step: `(B, 4·H)`, [hidden, cell_state] -> output `(B, O)`, new state."""
        input_gate, forget_gate, cell_update, output_gate = self.gates(projected, state)
        cell_state = forget_gate * state[1] + input_gate * cell_update
        hidden = output_gate * torch.tanh(self.norm_cell_state(cell_state))
        if self.weight_hr is not None:
            hidden = F.linear(hidden, self.weight_hr)
        output = output_gate * cell_state if self.output_activation == "identity" else hidden
        return output, [hidden, cell_state] + state[2:]
