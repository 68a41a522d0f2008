"""Long short-term memory."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqsum.recurrent.cells.base import check_whole
from seqsum.recurrent.cells.packed import PackedCell

OutputActivation = Literal["tanh", "identity"]


class LSTMCell(PackedCell):
    r"""Long short-term memory (Hochreiter & Schmidhuber, 1997) with a forget gate (Gers et al., 2000).

    In the names of the code, with `σ` the logistic function and `*` element by element:

        input_gate  = σ(W_ii x + b_ii + W_hi hidden + b_hi)
        forget_gate = σ(W_if x + b_if + W_hf hidden + b_hf)
        cell_update = tanh(W_ig x + b_ig + W_hg hidden + b_hg)
        output_gate = σ(W_io x + b_io + W_ho hidden + b_ho)
        cell_state' = forget_gate * cell_state + input_gate * cell_update
        hidden'     = output_gate * tanh(cell_state')
                    = W_hr (output_gate * tanh(cell_state'))     with proj_size (Sak et al., 2014)
        output      = hidden'                                with output_activation="tanh", as in torch
                    = output_gate * cell_state'              with output_activation="identity"

    The identity output leaves the recurrence as it is and only lets later layers read the cell state
    unsquashed: a linear head can then count beyond the values seen in training. With `layer_norm` the
    `tanh` reads the cell state normalised too (Ba et al., 2016); the cell state itself stays as it is.

    Weights are packed and named as in `torch.nn.LSTMCell`: rows in gate order input, forget, cell
    update, output (torch writes i, f, g, o; Keras packs i, f, c, o, the same order, but transposed and
    with a single bias). They start as `PackedCell` says, with `bias_ih` one for the forget gate, so that
    the cell state is kept at the start and gradients pass (Jozefowicz et al., 2015).

        weight_ih (4·H, F) · weight_hh (4·H, P) · bias_ih (4·H,) · bias_hh (4·H,) · weight_hr (P, H)

    `P` is `proj_size` if that is given, and there is no `weight_hr` otherwise, and `P` is `H`.

    Args:
        input_size: Features per step, `F`.
        hidden_size: Units, `H`.
        bias: Whether the gates have biases.
        device, dtype: Of the parameters.
        proj_size: Size that the hidden state is projected to; 0 for none.
        output_activation: "tanh" or "identity", see the equations.
        options: `recurrent_dropout`, `layer_norm`, `recurrent_bias`, as in `PackedCell`.

    Raises:
        TypeError: A size that is not whole, a switch that is not a bool.
        ValueError: A size below one, `proj_size` not below `hidden_size`, an unknown `output_activation`
            or one that does not go with `proj_size`, a probability outside [0, 1].
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
        self.norm_cell_state = norm if self.layer_norm else nn.Identity()
        self.reset_parameters()

    def start(self, name: str, parameter: Tensor) -> None:
        if name == "weight_hr":
            nn.init.xavier_uniform_(parameter)
        else:
            super().start(name, parameter)
        if name == "bias_ih":
            nn.init.ones_(parameter[self.hidden_size : 2 * self.hidden_size])

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        """Accept state dicts from when the cell state was called memory."""
        if (weight := state_dict.pop(f"{prefix}norm_memory.weight", None)) is not None:
            state_dict[f"{prefix}norm_cell_state.weight"] = weight
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def gates(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """`(…, 4·H)`, [hidden, cell_state] -> input gate, forget gate, cell update, output gate, `(…, H)` each."""
        summed = projected + self.recur(state)
        # not chunk: TorchScript's own derivative of it drops gates that have no gradient
        input_gate, forget_gate, cell_update, output_gate = summed.split(self.hidden_size, dim=-1)
        return (
            torch.sigmoid(input_gate),
            torch.sigmoid(forget_gate),
            torch.tanh(cell_update),
            torch.sigmoid(output_gate),
        )

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """One step of the equations: `(B, 4·H)`, [hidden, cell_state] -> output `(B, O)`, new state."""
        input_gate, forget_gate, cell_update, output_gate = self.gates(projected, state)
        cell_state = forget_gate * state[1] + input_gate * cell_update
        hidden = output_gate * torch.tanh(self.norm_cell_state(cell_state))
        if self.weight_hr is not None:
            hidden = F.linear(hidden, self.weight_hr)
        output = output_gate * cell_state if self.output_activation == "identity" else hidden
        return output, [hidden, cell_state] + state[2:]
