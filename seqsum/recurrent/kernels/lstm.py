"""Backpropagation through time for the LSTM (Hochreiter & Schmidhuber, 1997; with a forget gate: Gers et al., 2000)."""

from __future__ import annotations

import torch
from torch import Tensor

from seqsum.recurrent.kernels.bptt import BackwardThroughTime, Derivatives, Kept, State, Step, d_sigmoid, d_tanh


class LSTMStep(Step):
    """Equations of `LSTMCell` and, line by line in reverse, their derivatives.

    From cell state to cell state, each step multiplies the gradient by the forget gate and nothing else. With an open
    gate, it neither vanishes nor explodes.
    """

    def forward(self, projected: Tensor, last: State) -> tuple[Tensor, State, Kept]:
        last_hidden, last_cell_state = last  # (B, P), (B, H)
        summed = torch.addmm(projected, self.drop(last_hidden), self.weight_hh.t())  # (B, 4·H)
        summed_input, summed_forget, summed_update, summed_output = summed.chunk(4, dim=1)  # (B, H) each
        input_gate = torch.sigmoid(summed_input)
        forget_gate = torch.sigmoid(summed_forget)
        cell_update = torch.tanh(summed_update)
        output_gate = torch.sigmoid(summed_output)
        cell_state = forget_gate * last_cell_state + input_gate * cell_update
        squashed = torch.tanh(cell_state)
        hidden = output_gate * squashed
        if self.weight_hr is not None:
            hidden = hidden @ self.weight_hr.t()  # (B, P)
        output = output_gate * cell_state if self.cell.output_activation == "identity" else hidden
        return output, [hidden, cell_state], [input_gate, forget_gate, cell_update, output_gate, cell_state, squashed]

    def backward(self, kept: Kept, last: State, d_output: Tensor, d_state: State) -> Derivatives:
        input_gate, forget_gate, cell_update, output_gate, cell_state, squashed = kept
        (last_hidden, last_cell_state), (d_hidden, d_cell_state), products = last, d_state, {}
        if self.cell.output_activation == "identity":
            d_output_gate = d_output * cell_state + d_hidden * squashed
            d_cell_state = d_cell_state + d_output * output_gate
        else:
            d_hidden = d_hidden + d_output
            if self.weight_hr is not None:
                products["weight_hr"] = d_hidden, output_gate * squashed
                d_hidden = d_hidden @ self.weight_hr  # (B, H)
            d_output_gate = d_hidden * squashed
        d_cell_state = d_cell_state + d_tanh(d_hidden * output_gate, squashed)
        d_input_gate = d_cell_state * cell_update
        d_forget_gate = d_cell_state * last_cell_state
        d_cell_update = d_cell_state * input_gate
        d_last_cell_state = d_cell_state * forget_gate
        d_summed_input = d_sigmoid(d_input_gate, input_gate)
        d_summed_forget = d_sigmoid(d_forget_gate, forget_gate)
        d_summed_update = d_tanh(d_cell_update, cell_update)
        d_summed_output = d_sigmoid(d_output_gate, output_gate)
        d_summed = torch.cat([d_summed_input, d_summed_forget, d_summed_update, d_summed_output], dim=1)  # (B, 4·H)
        d_last_hidden = self.drop(d_summed @ self.weight_hh)  # (B, P)
        products["weight_hh"] = d_summed, self.drop(last_hidden)
        return Derivatives(d_summed, products, [d_last_hidden, d_last_cell_state])


class UnrollLSTM(BackwardThroughTime):
    """Run all steps of the LSTM."""

    weights = (*BackwardThroughTime.weights, "weight_hr")
    step = LSTMStep
