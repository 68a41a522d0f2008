"""Backward through time for the gated recurrent unit, by hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seqsum.recurrent.cells.gru import GRUCell
from seqsum.recurrent.kernels.common import (
    after,
    before,
    differentiable_gradients,
    input_gradients,
    masked,
    project,
    room,
    room_for_states,
    rows_first,
    steps,
    swapped,
    wants_plain_loop,
)

WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def unroll_gru(
    cell: GRUCell, inputs: Tensor, state: list[Tensor], mask: Tensor | None = None, reverse: bool = False
) -> tuple[Tensor, list[Tensor]]:
    """The same as `Unroll(cell)(inputs, state, mask, reverse)`, its gradients written by hand."""
    hidden, *constants = state
    arguments = (cell, mask, reverse, inputs, hidden, constants[0] if constants else None)
    weights = [getattr(cell, name) for name in WEIGHTS]
    if torch.is_grad_enabled():
        outputs, hidden = _UnrollGRU.apply(*arguments, *weights)
    else:
        outputs, hidden = _run_steps(*arguments, *weights, keep=False)[0]
    return outputs, [hidden, *constants]


def _run_steps(
    cell: GRUCell,
    mask: Tensor | None,
    reverse: bool,
    inputs: Tensor,
    initial: Tensor,
    dropout: Tensor | None,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None,
    bias_hh: Tensor | None,
    *,
    keep: bool,
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, ...]]:
    """The forward pass: outputs and final state, and what the derivatives need, if it is to be kept."""
    (length, batch, _), size = inputs.shape, initial.shape[-1]
    half = inputs.new_full((), 0.5)
    doubled = inputs.new_ones(3, size, 1)
    doubled[2].fill_(2)
    doubled = doubled.flatten(0, 1)
    gates = project(inputs, weight_ih, (bias_ih,), doubled)  # (T, 3·H, B)
    if mask is not None:
        gates[:, size : 2 * size].masked_fill_(~mask.unsqueeze(1), torch.inf)
    recurrents = room(gates, length, 3 * size, batch, keep)
    hidden = room_for_states(initial * half, length, reverse)  # (T + 1, H, B)
    weight = weight_hh * (2 * doubled)  # from halved states
    bias = weight.new_zeros(len(weight), 1) if bias_hh is None else bias_hh.unsqueeze(1) * doubled
    # views of all steps, taken once: taken in the loop they would cost as much as a small operation
    resets, updates, candidates = (block.unbind(0) for block in gates.split(size, 1))
    both, rows, hiddens = gates[:, : 2 * size].unbind(0), recurrents.unbind(0), hidden.unbind(0)
    recurrent_both, recurrent_candidates = (block.unbind(0) for block in recurrents.split([2 * size, size], 1))
    for t, last, now in steps(length, reverse):
        recurrent = hiddens[last] if dropout is None else hiddens[last] * dropout.t()
        torch.addmm(bias, weight, recurrent, out=rows[t])
        both[t].add_(recurrent_both[t]).sigmoid_()
        candidates[t].addcmul_(resets[t], recurrent_candidates[t]).sigmoid_().sub_(half)
        torch.lerp(candidates[t], hiddens[last], updates[t], out=hiddens[now])
    outputs = swapped(after(hidden, reverse)).mul_(2)
    results = outputs if mask is None else outputs.mul_(mask.unsqueeze(-1)), 2 * hiddens[now].t()
    return results, (gates, recurrents, hidden)


class _UnrollGRU(torch.autograd.Function):
    """With `d` the dropout mask, if there is one, forwards:

        projected(t)    = W_ih x(t) + b_ih                          in blocks reset, update, candidate
        recurrent(t)    = W_hh (d * hidden(t-1)) + b_hh             likewise
        reset(t)        = σ(projected_reset(t) + recurrent_reset(t))
        update(t)       = σ(projected_update(t) + recurrent_update(t))
        candidate(t)    = tanh(projected_candidate(t) + reset(t) * recurrent_candidate(t))
        hidden(t)       = candidate(t) + update(t) * (hidden(t-1) - candidate(t))

    The blocks that make the candidate are kept doubled, candidate and hidden state halved. Backwards, with
    `δx` the gradient of x and σ' = σ (1 - σ), every block is δhidden(t) times something that the forward
    pass has left:

        δhidden(t)                += δoutput(t)
        δprojected_candidate(t)    = δhidden(t) * (1 - update(t)) * (1 - candidate(t)²)
        δrecurrent_candidate(t)    = δprojected_candidate(t) * reset(t)
        δreset(t), before its σ    = δprojected_candidate(t) * recurrent_candidate(t) * σ'(reset(t))
        δupdate(t), before its σ   = δhidden(t) * (hidden(t-1) - candidate(t)) * σ'(update(t))
        δhidden(t-1)               = δhidden(t) * update(t) + d * (W_hhᵀ δrecurrent(t))
        δW_hh, δb_hh               = Σ_t δrecurrent(t) (d * hidden(t-1))ᵀ,  Σ_t δrecurrent(t)

    A row that the mask leaves out has an update gate of 1: its hidden state is carried over, and every
    derivative but that by the state before is zero.
    """

    @staticmethod
    def forward(
        ctx: Any,
        cell: GRUCell,
        mask: Tensor | None,
        reverse: bool,
        inputs: Tensor,
        hidden: Tensor,
        dropout: Tensor | None,
        *weights: Any,
    ) -> tuple[Tensor, Tensor]:
        results, kept = _run_steps(cell, mask, reverse, inputs, hidden, dropout, *weights, keep=True)
        ctx.cell, ctx.mask, ctx.reverse = cell, mask, reverse
        ctx.save_for_backward(inputs, hidden, dropout, *weights, *kept)
        return results

    @staticmethod
    def backward(ctx: Any, d_outputs: Tensor, d_final: Tensor) -> tuple[Tensor | None, ...]:
        inputs, initial, dropout, *weights, gates, recurrents, hidden = ctx.saved_tensors
        weight_ih, weight_hh, bias_ih, bias_hh = weights
        cell, mask, reverse = ctx.cell, ctx.mask, ctx.reverse
        if wants_plain_loop(d_outputs, d_final):
            by_name = dict(zip(WEIGHTS, weights, strict=True))
            state, gradients = (initial, dropout), (d_outputs, d_final)
            found = differentiable_gradients(cell, mask, reverse, inputs, state, by_name, gradients)
            return None, None, None, *found
        size = hidden.shape[1]
        reset_gate, update_gate, candidate = gates.split(size, 1)  # (T, H, B) each
        # what δhidden is multiplied by; all three are zero where the update gate is 1
        local_candidate = candidate.square().mul_(-4).add_(1).mul_(1 - update_gate)
        d_recurrents = torch.addcmul(gates, gates, gates, value=-1)  # σ' in the first two blocks
        local_reset, local_update, local = d_recurrents.split(size, 1)
        local_reset.mul_(recurrents[:, 2 * size :]).mul_(local_candidate).mul_(0.5)  # that block is doubled
        local_update.mul_(before(hidden, reverse) - candidate).mul_(2)
        torch.mul(local_candidate, reset_gate, out=local)
        d_outputs = masked(swapped(d_outputs), mask)
        d_rows, d_candidates = d_recurrents.unbind(0), local_candidate.unbind(0)
        d_blocks = d_recurrents.view(len(gates), 3, *candidate.shape[1:]).unbind(0)
        d_outputs_of, updates, d_hidden, weight = d_outputs.unbind(0), update_gate.unbind(0), d_final.t(), weight_hh.t()
        for t, _, _ in reversed(steps(len(inputs), reverse)):
            d_hidden = d_hidden + d_outputs_of[t]
            d_blocks[t].mul_(d_hidden)
            d_candidates[t].mul_(d_hidden)
            d_last = weight @ d_rows[t]
            d_last = d_last if dropout is None else d_last.mul_(dropout.t())
            d_hidden = d_last.addcmul_(d_hidden, updates[t])
        recurrent = before(hidden, reverse) if dropout is None else before(hidden, reverse) * dropout.t()
        d_all = rows_first(d_recurrents)  # (3·H, T·B)
        d_weight_hh = (d_all @ rows_first(recurrent).t()).mul_(2)
        d_bias_hh = None if bias_hh is None else d_all.sum(1)
        # in the candidate's block, what came in and what came back have different factors
        d_all[2 * size :] = rows_first(local_candidate)
        needed = (ctx.needs_input_grad[3], ctx.needs_input_grad[6], bias_ih is not None)
        d_inputs, d_weight_ih, d_bias_ih = input_gradients(d_all, inputs, weight_ih, needed)
        return None, None, None, d_inputs, d_hidden.t(), None, d_weight_ih, d_weight_hh, d_bias_ih, d_bias_hh
