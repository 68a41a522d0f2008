"""Backward through time for the LSTM, by hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seqsum.recurrent.cells.lstm import LSTMCell
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

WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
FACTORS = (4.0, 1.0, 8.0, 2.0)  # of δsummed by block, see `_UnrollLSTM`


def unroll_lstm(
    cell: LSTMCell, inputs: Tensor, state: list[Tensor], mask: Tensor | None = None, reverse: bool = False
) -> tuple[Tensor, list[Tensor]]:
    """The same as `Unroll(cell)(inputs, state, mask, reverse)`, its gradients written by hand."""
    hidden, memory, *constants = state
    arguments = (cell, mask, reverse, inputs, hidden, memory, constants[0] if constants else None)
    weights = [getattr(cell, name) for name in WEIGHTS]
    if torch.is_grad_enabled():
        outputs, hidden, memory = _UnrollLSTM.apply(*arguments, *weights)
    else:
        outputs, hidden, memory = _run_steps(*arguments, *weights, keep=False)[0]
    return outputs, [hidden, memory, *constants]


def _run_steps(
    cell: LSTMCell,
    mask: Tensor | None,
    reverse: bool,
    inputs: Tensor,
    initial_hidden: Tensor,
    initial_memory: Tensor,
    dropout: Tensor | None,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None,
    bias_hh: Tensor | None,
    weight_hr: Tensor | None,
    *,
    keep: bool,
) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[Tensor, ...]]:
    """The forward pass: outputs and final states, and what the derivatives need, if it is to be kept."""
    (length, batch, _), size = inputs.shape, initial_memory.shape[-1]
    identity = cell.output_activation == "identity"
    doubled = inputs.new_ones(4, size, 1)
    doubled[2].fill_(2)
    doubled = doubled.flatten(0, 1)
    gates = project(inputs, weight_ih, (bias_ih, bias_hh), doubled)  # (T, 4·H, B)
    blocks = gates.view(length, 4, size, batch).unbind(1)
    if mask is not None:
        for block, value in zip(blocks, (-torch.inf, torch.inf, 0.0, 0.0), strict=True):
            block.masked_fill_(~mask.unsqueeze(1), value)
    projection = None if weight_hr is None else 2 * weight_hr  # from what is read, halved
    weight = weight_hh * (2 * doubled if projection is None else doubled)
    squashed = room(gates, length, size, batch, keep)  # σ(m)
    halved = initial_hidden / 2 if projection is None else initial_hidden
    hidden = room_for_states(halved, length, reverse)  # (T + 1, P, B)
    memory = room_for_states(2 * initial_memory, length, reverse, keep or identity)  # (T + 1, H, B)
    # views of all steps, taken once: taken in the loop they would cost as much as a small operation
    summed, squashes, hiddens, memories = (rows.unbind(0) for rows in (gates, squashed, hidden, memory))
    input_gate, forget_gate, update, output_gate = (block.unbind(0) for block in blocks)
    for t, last, now in steps(length, reverse):
        recurrent = hiddens[last] if dropout is None else hiddens[last] * dropout.t()
        summed[t].addmm_(weight, recurrent).sigmoid_()
        torch.mul(forget_gate[t], memories[last], out=memories[now])
        memories[now].addcmul_(input_gate[t], update[t], value=4).sub_(input_gate[t], alpha=2)
        torch.sigmoid(memories[now], out=squashes[t])
        read = hiddens[now] if projection is None else torch.empty_like(squashes[t])
        torch.mul(output_gate[t], squashes[t], out=read)
        read.sub_(output_gate[t], alpha=0.5)
        if projection is not None:
            torch.mm(projection, read, out=hiddens[now])
        if mask is not None:
            torch.where(mask[t], hiddens[now], hiddens[last], out=hiddens[now])
    masked(blocks[3], mask)
    doubling = 2 if projection is None else 1
    if identity:
        outputs = swapped(blocks[3] * after(memory, reverse)).mul_(0.5)
    else:
        outputs = swapped(after(hidden, reverse)).mul_(doubling)
        outputs = outputs if mask is None else outputs.mul_(mask.unsqueeze(-1))
    results = outputs, doubling * hiddens[now].t(), memories[now].t() / 2
    return results, (gates, squashed, hidden, memory)


class _UnrollLSTM(torch.autograd.Function):
    """With `d` the dropout mask, if there is one, forwards:

        summed(t)  = W_ih x(t) + b_ih + W_hh (d * hidden(t-1)) + b_hh      in blocks i, f, g, o
        i, f, g, o = σ, σ, tanh, σ of their blocks                         input, forget, update, output
        memory(t)  = f * memory(t-1) + i * g
        read(t)    = o * tanh(memory(t))
        hidden(t)  = read(t)                                               or W_hr read(t), with projection
        output(t)  = hidden(t)                                             or o * memory(t), identity

    Block g and the memory are kept doubled, what is read halved. With `u = σ(2 summed_g)`, `m = 2 memory`
    and `s = σ(m)`:

        m(t)         = f * m(t-1) + 4 i * u - 2 i
        read(t) / 2  = o * s - o / 2

    Backwards, with `δx` the gradient of x and σ' = σ (1 - σ):

        δhidden(t)  += δoutput(t)                                   unless the output is the identity
        δread(t)     = δhidden(t)                                   or W_hrᵀ δhidden(t)
        δm(t)       += δread(t) * 2 o * σ'(s)                       + δoutput(t) * o / 2, identity
        δsummed(t)   = δm(t) * (4 u - 2) * σ'(i)                    in block i
                       δm(t) * m(t-1) * σ'(f)                             f
                       δm(t) * 8 i * σ'(u)                                g
                       δread(t) * (2 s - 1) * σ'(o)                       o, + δoutput(t) * memory(t) * σ'(o)
                       where the constants (4, 1, 8, 2: FACTORS) are left to the weights
        δm(t-1)      = δm(t) * f
        δhidden(t-1) = d * (W_hhᵀ δsummed(t))
        δW_hh, δW_hr = Σ_t δsummed(t) (d * hidden(t-1))ᵀ,  Σ_t δhidden(t) read(t)ᵀ

    A row that the mask leaves out has `i = 0, f = 1`, which carries its memory over, and `o = 0` in the
    derivatives; its hidden state is copied, and so is δhidden.
    """

    @staticmethod
    def forward(
        ctx: Any,
        cell: LSTMCell,
        mask: Tensor | None,
        reverse: bool,
        inputs: Tensor,
        hidden: Tensor,
        memory: Tensor,
        dropout: Tensor | None,
        *weights: Any,
    ) -> tuple[Tensor, Tensor, Tensor]:
        results, kept = _run_steps(cell, mask, reverse, inputs, hidden, memory, dropout, *weights, keep=True)
        ctx.cell, ctx.mask, ctx.reverse = cell, mask, reverse
        ctx.save_for_backward(inputs, hidden, memory, dropout, *weights, *kept)
        return results

    @staticmethod
    def backward(ctx: Any, d_outputs: Tensor, d_hidden: Tensor, d_memory: Tensor) -> tuple[Tensor | None, ...]:
        inputs, initial_hidden, initial_memory, dropout, *weights, gates, squashed, hidden, memory = ctx.saved_tensors
        weight_ih, weight_hh, bias_ih, bias_hh, weight_hr = weights
        cell, mask, reverse = ctx.cell, ctx.mask, ctx.reverse
        if wants_plain_loop(d_outputs, d_hidden, d_memory):
            state, gradients = (initial_hidden, initial_memory, dropout), (d_outputs, d_hidden, d_memory)
            by_name = dict(zip(WEIGHTS, weights, strict=True))
            found = differentiable_gradients(cell, mask, reverse, inputs, state, by_name, gradients)
            return None, None, None, *found
        by_block = (len(gates), 4, *squashed.shape[1:])  # (T, 4, H, B)
        input_gate, carried, update, output_gate = gates.view(by_block).unbind(1)  # the forget gate carries δm
        # local derivatives of all steps, but for FACTORS: what δm is multiplied by in three blocks, δread in the last
        d_gates = torch.addcmul(gates, gates, gates, value=-1)  # σ'
        blocks = d_gates.view(by_block)
        local = blocks.unbind(1)
        d_outputs = masked(swapped(d_outputs), mask)
        identity = cell.output_activation == "identity"
        if identity:
            direct_gates = (after(memory, reverse) * local[3]).mul_(d_outputs).mul_(0.25).unbind(0)
            direct_memory = (d_outputs * output_gate).mul_(0.5).unbind(0)
        half_tanh = squashed - 0.5
        local[0].mul_(update - 0.5)
        local[1].mul_(before(memory, reverse))
        local[2].mul_(input_gate)
        local[3].mul_(half_tanh)
        local_memory = torch.addcmul(squashed, squashed, squashed, value=-1).mul_(output_gate)  # of read / 2 by m
        # made on the device: a GPU would have to be waited for, which a CUDA graph can't
        factors = torch.cat([gates.new_full((squashed.shape[1], 1), factor) for factor in FACTORS])  # (4·H, 1)
        weight = (weight_hh * factors).t()
        skipped = None if mask is None else (~mask).to(gates)  # (T, B)
        d_projections = None if weight_hr is None else torch.empty_like(d_outputs)
        d_rows, d_memory_blocks, d_read_blocks = d_gates.unbind(0), blocks[:, :3].unbind(0), local[3].unbind(0)
        d_outputs_of, local_memories, carries = d_outputs.unbind(0), local_memory.unbind(0), carried.unbind(0)
        d_hidden, d_memory = d_hidden.t(), d_memory.t() / 2
        for t, _, _ in reversed(steps(len(inputs), reverse)):
            if not identity:
                d_hidden = d_hidden + d_outputs_of[t]
            d_read = d_hidden if weight_hr is None else weight_hr.t() @ d_hidden
            d_memory = torch.addcmul(d_memory, d_read, local_memories[t], value=2)
            if identity:
                d_memory.add_(direct_memory[t])
            d_memory_blocks[t].mul_(d_memory)
            d_read_blocks[t].mul_(d_read)
            if identity:
                d_read_blocks[t].add_(direct_gates[t])
            if d_projections is not None:
                d_projections[t] = d_hidden if mask is None else d_hidden * mask[t]
            d_memory.mul_(carries[t])
            d_last = weight @ d_rows[t]
            d_last = d_last if dropout is None else d_last.mul_(dropout.t())
            d_hidden = d_last if skipped is None else d_last.addcmul_(d_hidden, skipped[t])
        recurrent = before(hidden, reverse) if dropout is None else before(hidden, reverse) * dropout.t()
        d_all = rows_first(d_gates)  # (4·H, T·B)
        d_weight_hh = (d_all @ rows_first(recurrent).t()).mul_(factors)
        if d_projections is None:
            d_weight_hh, d_weight_hr = d_weight_hh.mul_(2), None  # from halved states
        else:
            d_weight_hr = 2 * rows_first(d_projections) @ rows_first(output_gate * half_tanh).t()
        needed = (ctx.needs_input_grad[3], ctx.needs_input_grad[7], bias_ih is not None)
        d_inputs, d_weight_ih, d_bias = input_gradients(d_all, inputs, weight_ih, needed, factors)
        d_weights = (d_weight_ih, d_weight_hh, d_bias, None if bias_hh is None else d_bias, d_weight_hr)
        return None, None, None, d_inputs, d_hidden.t(), 2 * d_memory.t(), None, *d_weights
