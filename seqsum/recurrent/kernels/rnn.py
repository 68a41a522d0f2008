"""Backpropagation through time for the simple recurrent network (Elman, 1990)."""

from __future__ import annotations

import torch
from torch import Tensor

from seqsum.recurrent.kernels.bptt import BackwardThroughTime, Derivatives, Kept, State, Step, d_tanh


class RNNStep(Step):
    """Equation of `RNNCell` and its derivatives.

    Each step multiplies the hidden state's gradient by `W_hh` and the slope of the nonlinearity. Over many steps, it
    vanishes or explodes (Bengio et al., 1994).
    """

    def forward(self, projected: Tensor, last: State) -> tuple[Tensor, State, Kept]:
        (last_hidden,) = last  # (B, H)
        summed = torch.addmm(projected, self.drop(last_hidden), self.weight_hh.t())  # (B, H)
        hidden = torch.relu(summed) if self.cell.nonlinearity == "relu" else torch.tanh(summed)
        return hidden, [hidden], [hidden]

    def backward(self, kept: Kept, last: State, d_output: Tensor, d_state: State) -> Derivatives:
        (hidden,), (last_hidden,), (d_hidden,) = kept, last, d_state
        d_hidden = d_hidden + d_output
        # as torch does where the hidden state is NaN
        d_summed = (
            d_hidden.masked_fill(hidden <= 0, 0) if self.cell.nonlinearity == "relu" else d_tanh(d_hidden, hidden)
        )
        d_last_hidden = self.drop(d_summed @ self.weight_hh)
        return Derivatives(d_summed, {"weight_hh": (d_summed, self.drop(last_hidden))}, [d_last_hidden])


class UnrollRNN(BackwardThroughTime):
    """Run all steps of the simple recurrent network."""

    step = RNNStep
