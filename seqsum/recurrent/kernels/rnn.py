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
    input_gradients,
    masked,
    project,
    room_for_states,
    rows_first,
    steps,
    swapped,
    wants_plain_loop,
)

WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def unroll_rnn(
    cell: RNNCell, inputs: Tensor, state: list[Tensor], mask: Tensor | None = None, reverse: bool = False
) -> tuple[Tensor, list[Tensor]]:
    """The same as `Unroll(cell)(inputs, state, mask, reverse)`, its gradients written by hand."""
    hidden, *constants = state
    arguments = (cell, mask, reverse, inputs, hidden, constants[0] if constants else None)
    weights = [getattr(cell, name) for name in WEIGHTS]
    if torch.is_grad_enabled():
        outputs, hidden = _UnrollRNN.apply(*arguments, *weights)
    else:
        outputs, hidden, _ = _run_steps(*arguments, *weights)
    return outputs, [hidden, *constants]


def _run_steps(
    cell: RNNCell,
    mask: Tensor | None,
    reverse: bool,
    inputs: Tensor,
    initial: Tensor,
    dropout: Tensor | None,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None,
    bias_hh: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The forward pass: outputs, final state, and all states, which the derivatives need."""
    length, tanh, half = len(inputs), cell.nonlinearity == "tanh", inputs.new_full((), 0.5)
    scale = inputs.new_full((1, 1), 2) if tanh else None
    summed = project(inputs, weight_ih, (bias_ih, bias_hh), scale).unbind(0)  # (H, B) each
    weight = 4 * weight_hh if tanh else weight_hh  # of doubled sums from halved states
    hidden = room_for_states(initial * half if tanh else initial, length, reverse)  # (T + 1, H, B)
    hiddens = hidden.unbind(0)
    for t, last, now in steps(length, reverse):
        recurrent = hiddens[last] if dropout is None else hiddens[last] * dropout.t()
        torch.addmm(summed[t], weight, recurrent, out=hiddens[now])
        if tanh:
            hiddens[now].sigmoid_().sub_(half)
        else:
            hiddens[now].relu_()
        if mask is not None:
            torch.where(mask[t], hiddens[now], hiddens[last], out=hiddens[now])
    outputs, final = swapped(after(hidden, reverse)), hiddens[now].t().clone()
    outputs, final = (outputs.mul_(2), final.mul_(2)) if tanh else (outputs, final)
    return outputs if mask is None else outputs.mul_(mask.unsqueeze(-1)), final, hidden


class _UnrollRNN(torch.autograd.Function):
    """With `d` the dropout mask, if there is one, forwards:

        summed(t) = W_ih x(t) + b_ih + W_hh (d * hidden(t-1)) + b_hh
        hidden(t) = tanh(summed(t))                                or relu

    For tanh, `hidden` is kept halved, as `σ(2 summed) - ½`. Backwards, with `δx` the gradient of x:

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
        inputs: Tensor,
        hidden: Tensor,
        dropout: Tensor | None,
        *weights: Any,
    ) -> tuple[Tensor, Tensor]:
        outputs, final, states = _run_steps(cell, mask, reverse, inputs, hidden, dropout, *weights)
        ctx.cell, ctx.mask, ctx.reverse = cell, mask, reverse
        ctx.save_for_backward(inputs, hidden, dropout, *weights, states)
        return outputs, final

    @staticmethod
    def backward(ctx: Any, d_outputs: Tensor, d_final: Tensor) -> tuple[Tensor | None, ...]:
        inputs, initial, dropout, *weights, hidden = ctx.saved_tensors
        weight_ih, weight_hh, bias_ih, bias_hh = weights
        cell, mask, reverse = ctx.cell, ctx.mask, ctx.reverse
        if wants_plain_loop(d_outputs, d_final):
            by_name = dict(zip(WEIGHTS, weights, strict=True))
            state, gradients = (initial, dropout), (d_outputs, d_final)
            found = differentiable_gradients(cell, mask, reverse, inputs, state, by_name, gradients)
            return None, None, None, *found
        tanh, states = cell.nonlinearity == "tanh", after(hidden, reverse)
        d_summed = states.square().mul_(-4).add_(1) if tanh else (states > 0).to(states)
        d_outputs = masked(swapped(d_outputs), mask)
        if mask is not None:
            masked(d_summed, mask)
            skipped = (~mask).to(hidden)  # (T, B)
        d_rows, d_outputs_of, d_hidden, weight = d_summed.unbind(0), d_outputs.unbind(0), d_final.t(), weight_hh.t()
        for t, _, _ in reversed(steps(len(inputs), reverse)):
            d_hidden = d_hidden + d_outputs_of[t]
            d_last = weight @ d_rows[t].mul_(d_hidden)
            d_last = d_last if dropout is None else d_last.mul_(dropout.t())
            d_hidden = d_last if mask is None else d_last.addcmul_(d_hidden, skipped[t])
        recurrent = before(hidden, reverse) if dropout is None else before(hidden, reverse) * dropout.t()
        d_all = rows_first(d_summed)
        d_weight_hh = (d_all @ rows_first(recurrent).t()).mul_(2 if tanh else 1)
        needed = (ctx.needs_input_grad[3], ctx.needs_input_grad[6], bias_ih is not None)
        d_inputs, d_weight_ih, d_bias = input_gradients(d_all, inputs, weight_ih, needed)
        d_biases = d_bias, None if bias_hh is None else d_bias
        return None, None, None, d_inputs, d_hidden.t(), None, d_weight_ih, d_weight_hh, *d_biases
