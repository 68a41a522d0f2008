"""Backpropagation through time for the gated recurrent unit (Cho et al., 2014)."""

from __future__ import annotations

import torch
from torch import Tensor

from seqsum.recurrent.kernels.bptt import BackwardThroughTime, Derivatives, Kept, State, Step, d_sigmoid, d_tanh


class GRUStep(Step):
    """Equations of `GRUCell` and, line by line in reverse, their derivatives.

    Each step multiplies the hidden state's gradient by the update gate and adds what comes back through the weights.
    With an open gate, the first part neither vanishes nor explodes.
    """

    def bias(self) -> Tensor:
        return self.bias_ih  # the reset gate scales `b_hh`

    def forward(self, projected: Tensor, last: State) -> tuple[Tensor, State, Kept]:
        (last_hidden,) = last  # (B, H)
        recurrent = torch.addmm(self.bias_hh, self.drop(last_hidden), self.weight_hh.t())  # (B, 3·H)
        input_reset, input_update, input_candidate = projected.chunk(3, dim=1)  # (B, H) each
        hidden_reset, hidden_update, hidden_candidate = recurrent.chunk(3, dim=1)
        reset_gate = torch.sigmoid(input_reset + hidden_reset)
        update_gate = torch.sigmoid(input_update + hidden_update)
        candidate = torch.tanh(input_candidate + reset_gate * hidden_candidate)
        hidden = torch.lerp(candidate, last_hidden, update_gate)  # (1 - update) * candidate + update * last_hidden
        return hidden, [hidden], [reset_gate, update_gate, candidate, hidden_candidate]

    def backward(self, kept: Kept, last: State, d_output: Tensor, d_state: State) -> Derivatives:
        reset_gate, update_gate, candidate, hidden_candidate = kept
        (last_hidden,), (d_hidden,) = last, d_state
        d_hidden = d_hidden + d_output
        d_last_hidden = d_hidden * update_gate
        d_candidate = d_hidden - d_last_hidden
        d_update_gate = d_hidden * (last_hidden - candidate)
        d_input_candidate = d_tanh(d_candidate, candidate)
        d_hidden_candidate = d_input_candidate * reset_gate
        d_reset_gate = d_input_candidate * hidden_candidate
        d_update = d_sigmoid(d_update_gate, update_gate)  # gradient of input_update and of hidden_update
        d_reset = d_sigmoid(d_reset_gate, reset_gate)
        d_projected = torch.cat([d_reset, d_update, d_input_candidate], dim=1)  # (B, 3·H)
        d_recurrent = torch.cat([d_reset, d_update, d_hidden_candidate], dim=1)
        d_last_hidden = d_last_hidden + self.drop(d_recurrent @ self.weight_hh)
        return Derivatives(d_projected, {"weight_hh": (d_recurrent, self.drop(last_hidden))}, [d_last_hidden])


class UnrollGRU(BackwardThroughTime):
    """Run all steps of the GRU."""

    step = GRUStep
