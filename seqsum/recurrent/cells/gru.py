"""The gated recurrent unit."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seqsum.recurrent.cells.packed import PackedCell


class GRUCell(PackedCell):
    r"""Gated recurrent unit (Cho et al., 2014) in cuDNN's form, which resets after the matrix product.

    The equations, with the names of the code, the logistic function `σ` and the elementwise product `*`:

        reset_gate  = σ(W_ir x + b_ir + W_hr hidden + b_hr)
        update_gate = σ(W_iz x + b_iz + W_hz hidden + b_hz)
        candidate   = tanh(W_in x + b_in + reset_gate * (W_hn hidden + b_hn))
        hidden'     = (1 - update_gate) * candidate + update_gate * hidden
        output      = hidden'

    An open update gate keeps the old state, as in Cho et al., torch and Keras; in Chung et al. (2014) it
    replaces the state. The paper resets before the product, `W_hn (reset_gate * hidden)`, as does Keras
    with `reset_after=False`; such weights can't be loaded here. Without `recurrent_bias` there are no
    `b_hr`, `b_hz` and `b_hn`, and the reset gate scales only the product.

    Weights are packed and named as in `torch.nn.GRUCell`, with rows in the order reset, update, candidate
    (torch's r, z, n). Keras's order is z, r, h; its matrices are transposed, and one array `(2, 3·H)`
    holds both biases. See `PackedCell` for the initial values.

        weight_ih (3·H, F) · weight_hh (3·H, H) · bias_ih (3·H,) · bias_hh (3·H,)

    Args:
        input_size: Features per step, `F`.
        hidden_size: Units, `H`.
        bias: Whether the gates have biases.
        device, dtype: Device and type of the parameters.
        options: `recurrent_dropout`, `layer_norm` and `recurrent_bias`, see `PackedCell`.

    Raises:
        TypeError: A size is not an integer, or a switch is not a bool.
        ValueError: A size is below one, or a probability outside [0, 1].
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
        """Compute `W_i x + b_i` for all gates, `(…, F) -> (…, 3·H)`; `gates` adds `b_h`."""
        return self.project_with(input, self.bias_ih)

    def gates(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Compute reset gate, update gate, candidate: `(…, 3·H)`, [hidden] -> `(…, H)` each."""
        recurrent = self.recur(state)
        if self.bias_hh is not None:
            recurrent = recurrent + self.bias_hh
        # not chunk: TorchScript's derivative of chunk drops gates without a gradient
        input_reset, input_update, input_candidate = projected.split(self.hidden_size, dim=-1)
        hidden_reset, hidden_update, hidden_candidate = recurrent.split(self.hidden_size, dim=-1)
        reset_gate = torch.sigmoid(input_reset + hidden_reset)
        update_gate = torch.sigmoid(input_update + hidden_update)
        candidate = torch.tanh(input_candidate + reset_gate * hidden_candidate)
        return reset_gate, update_gate, candidate

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Run one step: `(B, 3·H)`, [hidden] -> output `(B, H)`, new state."""
        _, update_gate, candidate = self.gates(projected, state)
        hidden = candidate + update_gate * (state[0] - candidate)
        return hidden, [hidden] + state[1:]
