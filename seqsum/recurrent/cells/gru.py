"""The gated recurrent unit."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seqsum.recurrent.cells.packed import PackedCell


class GRUCell(PackedCell):
    r"""Gated recurrent unit (Cho et al., 2014), in the form of cuDNN: the reset gate comes after the product.

    In the names of the code, with `σ` the logistic function and `*` element by element:

        reset_gate  = σ(W_ir x + b_ir + W_hr hidden + b_hr)
        update_gate = σ(W_iz x + b_iz + W_hz hidden + b_hz)
        candidate   = tanh(W_in x + b_in + reset_gate * (W_hn hidden + b_hn))
        hidden'     = (1 - update_gate) * candidate + update_gate * hidden
        output      = hidden'

    An open update gate keeps the old state, as in torch and Keras; in Cho et al. too, while Chung et al.
    (2014) mean the opposite by it. The paper resets before the product, `W_hn (reset_gate * hidden)`, as
    Keras does with `reset_after=False`; such weights don't fit here. Without `recurrent_bias` there is no
    `b_hr`, `b_hz` and `b_hn`: the reset gate then scales the product alone.

    Weights are packed and named as in `torch.nn.GRUCell`: rows in order reset, update, candidate (torch
    writes r, z, n). Keras's order is z, r, h, transposed, with both biases in one array `(2, 3·H)`. See
    `PackedCell` for how the weights start.

        weight_ih (3·H, F) · weight_hh (3·H, H) · bias_ih (3·H,) · bias_hh (3·H,)

    Args:
        input_size: Features per step, `F`.
        hidden_size: Units, `H`.
        bias: Whether the gates have biases.
        device, dtype: Of the parameters.
        options: `recurrent_dropout`, `layer_norm`, `recurrent_bias`, as in `PackedCell`.

    Raises:
        TypeError: A size that is not whole, a switch that is not a bool.
        ValueError: A size below one, a probability outside [0, 1].
    """

    gate_names = ("reset_gate", "update_gate", "candidate")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, num_gates=3, device=device, dtype=dtype, **options)
        self.reset_parameters()

    def project(self, input: Tensor) -> Tensor:
        """`W_i x + b_i` for all gates, `(…, F) -> (…, 3·H)`; `b_hn` belongs behind the reset gate."""
        return self.project_with(input, self.bias_ih)

    def gates(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """`(…, 3·H)`, [hidden] -> reset gate, update gate, candidate, `(…, H)` each."""
        recurrent = self.recur(state)
        if self.bias_hh is not None:
            recurrent = recurrent + self.bias_hh
        # not chunk: TorchScript's own derivative of it drops gates that have no gradient
        input_reset, input_update, input_candidate = projected.split(self.hidden_size, dim=-1)
        hidden_reset, hidden_update, hidden_candidate = recurrent.split(self.hidden_size, dim=-1)
        reset_gate = torch.sigmoid(input_reset + hidden_reset)
        update_gate = torch.sigmoid(input_update + hidden_update)
        candidate = torch.tanh(input_candidate + reset_gate * hidden_candidate)
        return reset_gate, update_gate, candidate

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """One step of the equations: `(B, 3·H)`, [hidden] -> output `(B, H)`, new state."""
        _, update_gate, candidate = self.gates(projected, state)
        hidden = candidate + update_gate * (state[0] - candidate)
        return hidden, [hidden] + state[1:]
