"""Backward through time for the simple recurrent network, by hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seqsum.recurrent.cells.rnn import RNNCell
from seqsum.recurrent.kernels.common import (
    after,
    before,
    differentiable_gradients,
    room_for_states,
    steps,
    tanh_,
    valid_outputs,
    weight_gradient,
)


def unroll_rnn(
    cell: RNNCell, inputs: Tensor, state: list[Tensor], mask: Tensor | None = None, reverse: bool = False
) -> tuple[Tensor, list[Tensor]]:
    """The same as `Unroll(cell)(inputs, state, mask, reverse)`, its gradients written by hand."""
    hidden, *constants = state
    dropout = constants[0] if constants else None
    outputs, hidden = _UnrollRNN.apply(cell, mask, reverse, cell.project(inputs), cell.weight_hh, hidden, dropout)
    return outputs, [hidden, *constants]


class _UnrollRNN(torch.autograd.Function):
    """With `d` the dropout mask, if there is one, forwards:

        summed(t) = projected(t) + W_hh (d * hidden(t-1))
        hidden(t) = tanh(summed(t))                                or relu

    Backwards, with `δx` the gradient of x:

        δhidden(t)  += δoutput(t)
        δsummed(t)   = δhidden(t) * (1 - hidden(t)²)               or δhidden(t) where hidden(t) > 0
        δhidden(t-1) = d * (W_hhᵀ δsummed(t))
        δW_hh        = Σ_t δsummed(t) (d * hidden(t-1))ᵀ

    A row that the mask leaves out has `hidden(t) = hidden(t-1)`: no δsummed, and δhidden passes unchanged.
    """

    @staticmethod
    def forward(
        ctx: Any,
        cell: RNNCell,
        mask: Tensor | None,
        reverse: bool,
        projected: Tensor,
        weight_hh: Tensor,
        initial: Tensor,
        dropout: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        activate_ = torch.relu_ if cell.nonlinearity == "relu" else tanh_
        hidden = room_for_states(initial, len(projected), reverse)  # (T + 1, B, H)
        hiddens, inputs = hidden.unbind(0), projected.unbind(0)
        for t, last, now in steps(len(projected), reverse):
            recurrent = hiddens[last] if dropout is None else hiddens[last] * dropout
            activate_(torch.addmm(inputs[t], recurrent, weight_hh.t(), out=hiddens[now]))
            if mask is not None:
                torch.where(mask[t].unsqueeze(-1), hiddens[now], hiddens[last], out=hiddens[now])
        ctx.cell, ctx.mask, ctx.reverse = cell, mask, reverse
        ctx.save_for_backward(projected, weight_hh, initial, dropout, hidden)
        return valid_outputs(after(hidden, reverse), mask), hidden[now].clone()

    @staticmethod
    def backward(ctx: Any, d_outputs: Tensor, d_final: Tensor) -> tuple[Tensor | None, ...]:
        projected, weight_hh, initial, dropout, hidden = ctx.saved_tensors
        cell, mask, reverse = ctx.cell, ctx.mask, ctx.reverse
        if torch.is_grad_enabled():
            inputs = {"projected": projected, "weight_hh": weight_hh, "hidden": initial, "dropout": dropout}
            gradients = differentiable_gradients(cell, mask, reverse, inputs, 2, [d_outputs, d_final])
            return None, None, None, *gradients
        results = after(hidden, reverse)
        local = (results > 0).to(results) if cell.nonlinearity == "relu" else 1 - results.square()
        if mask is not None:
            valid = mask.unsqueeze(-1).to(results)  # (T, B, 1)
            local, d_outputs = local * valid, d_outputs * valid
        d_summed = torch.empty_like(projected)
        d_hidden = d_final
        d_output_rows, local_rows, d_summed_rows = d_outputs.unbind(0), local.unbind(0), d_summed.unbind(0)
        for t, _, _ in reversed(steps(len(projected), reverse)):
            d_hidden = d_hidden + d_output_rows[t]
            torch.mul(d_hidden, local_rows[t], out=d_summed_rows[t])
            d_last = d_summed_rows[t] @ weight_hh
            d_last = d_last if dropout is None else d_last * dropout
            d_hidden = d_last if mask is None else torch.addcmul(d_last, d_hidden, 1 - valid[t])
        recurrent = before(hidden, reverse) if dropout is None else before(hidden, reverse) * dropout
        return None, None, None, d_summed, weight_gradient(d_summed, recurrent), d_hidden, None
