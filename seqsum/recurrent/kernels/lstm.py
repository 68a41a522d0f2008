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
    room_for_states,
    steps,
    tanh_,
    valid_outputs,
    weight_gradient,
)


def unroll_lstm(
    cell: LSTMCell, inputs: Tensor, state: list[Tensor], mask: Tensor | None = None, reverse: bool = False
) -> tuple[Tensor, list[Tensor]]:
    """The same as `Unroll(cell)(inputs, state, mask, reverse)`, its gradients written by hand."""
    hidden, memory, *constants = state
    dropout = constants[0] if constants else None
    weights = (cell.weight_hh, cell.weight_hr)
    outputs, hidden, memory = _UnrollLSTM.apply(
        cell, mask, reverse, cell.project(inputs), *weights, hidden, memory, dropout
    )
    return outputs, [hidden, memory, *constants]


class _UnrollLSTM(torch.autograd.Function):
    """With `d` the dropout mask, if there is one, forwards:

        summed(t)  = projected(t) + W_hh (d * hidden(t-1))          in blocks i, f, g, o
        i, f, g, o = σ, σ, tanh, σ of their blocks                  input, forget, update, output
        memory(t)  = f * memory(t-1) + i * g
        read(t)    = o * tanh(memory(t))
        hidden(t)  = read(t)                                        or W_hr read(t), with projection
        output(t)  = hidden(t)                                      or o * memory(t), identity

    Backwards, with `δx` the gradient of x and σ' = σ (1 - σ):

        δhidden(t)  += δoutput(t)                                   unless the output is the identity
        δread(t)     = δhidden(t)                                   or W_hrᵀ δhidden(t)
        δmemory(t)  += δread(t) * o * (1 - tanh(memory(t))²)        + δoutput(t) * o, identity
        δsummed(t)   = δmemory(t) * g * σ'(i)                       in block i
                       δmemory(t) * memory(t-1) * σ'(f)                      f
                       δmemory(t) * i * (1 - g²)                             g
                       δread(t) * tanh(memory(t)) * σ'(o)                    o, + δoutput(t) * memory(t) * σ'(o)
        δmemory(t-1) = δmemory(t) * f
        δhidden(t-1) = d * (W_hhᵀ δsummed(t))
        δW_hh, δW_hr = Σ_t δsummed(t) (d * hidden(t-1))ᵀ,  Σ_t δhidden(t) read(t)ᵀ

    A row that the mask leaves out has `hidden(t) = hidden(t-1)` and `memory(t) = memory(t-1)`: no
    δsummed, and both gradients pass unchanged.
    """

    @staticmethod
    def forward(
        ctx: Any,
        cell: LSTMCell,
        mask: Tensor | None,
        reverse: bool,
        projected: Tensor,
        weight_hh: Tensor,
        weight_hr: Tensor | None,
        initial_hidden: Tensor,
        initial_memory: Tensor,
        dropout: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        (length, batch, _), size = projected.shape, initial_memory.shape[-1]
        # tanh(x) = 2 σ(2 x) - 1: with the update's rows doubled, one σ over all four blocks does it all
        doubled = projected.new_ones(4, size)
        doubled[2] = 2
        doubled = doubled.flatten()
        gates = projected * doubled  # (T, B, 4·H)
        weight = (weight_hh * doubled.unsqueeze(1)).t()
        squashed = projected.new_empty(length, batch, size)  # tanh(memory), (T, B, H)
        hidden = room_for_states(initial_hidden, length, reverse)  # (T + 1, B, P)
        memory = room_for_states(initial_memory, length, reverse)  # (T + 1, B, H)
        # views of all steps, taken once: taken in the loop they would cost as much as a small product
        blocks = [block.unbind(0) for block in (gates, *gates.view(length, batch, 4, size).unbind(2))]
        hiddens, memories, squashes = hidden.unbind(0), memory.unbind(0), squashed.unbind(0)
        for t, last, now in steps(length, reverse):
            summed, input_gate, forget_gate, half_update, output_gate = (block[t] for block in blocks)
            recurrent = hiddens[last] if dropout is None else hiddens[last] * dropout
            summed.addmm_(recurrent, weight).sigmoid_()
            torch.mul(forget_gate, memories[last], out=memories[now])
            memories[now].sub_(input_gate).addcmul_(input_gate, half_update, value=2)
            tanh_(squashes[t].copy_(memories[now]))
            if weight_hr is None:
                torch.mul(output_gate, squashes[t], out=hiddens[now])
            else:
                torch.mm(output_gate * squashes[t], weight_hr.t(), out=hiddens[now])
            if mask is not None:
                skipped = ~mask[t].unsqueeze(-1)
                torch.where(skipped, hiddens[last], hiddens[now], out=hiddens[now])
                torch.where(skipped, memories[last], memories[now], out=memories[now])
        gates[:, :, 2 * size : 3 * size].mul_(2).sub_(1)
        ctx.cell, ctx.mask, ctx.reverse = cell, mask, reverse
        ctx.save_for_backward(
            projected, weight_hh, weight_hr, initial_hidden, initial_memory, dropout, gates, squashed, hidden, memory
        )
        read = after(hidden, reverse)
        if cell.output_activation == "identity":
            read = gates[..., 3 * size :] * after(memory, reverse)
        return valid_outputs(read, mask), hidden[now].clone(), memory[now].clone()

    @staticmethod
    def backward(ctx: Any, d_outputs: Tensor, d_hidden: Tensor, d_memory: Tensor) -> tuple[Tensor | None, ...]:
        projected, weight_hh, weight_hr, initial_hidden, initial_memory, dropout, *kept = ctx.saved_tensors
        gates, squashed, hidden, memory = kept
        cell, mask, reverse = ctx.cell, ctx.mask, ctx.reverse
        if torch.is_grad_enabled():
            inputs = {"projected": projected, "weight_hh": weight_hh, "weight_hr": weight_hr}
            inputs |= {"hidden": initial_hidden, "memory": initial_memory, "dropout": dropout}
            gradients = differentiable_gradients(cell, mask, reverse, inputs, 3, [d_outputs, d_hidden, d_memory])
            return None, None, None, *gradients
        (length, batch, _), size = projected.shape, initial_memory.shape[-1]
        input_gate, forget_gate, cell_update, output_gate = gates.view(length, batch, 4, size).unbind(2)
        # local derivatives of all steps: what δmemory is multiplied by in three blocks, δread in the last
        local = torch.addcmul(gates, gates, gates, value=-1).view(length, batch, 4, size)  # σ', except for tanh
        local_output = local[:, :, 3].clone() if cell.output_activation == "identity" else None
        local[:, :, 0].mul_(cell_update)
        local[:, :, 1].mul_(before(memory, reverse))
        torch.addcmul(input_gate, input_gate, cell_update.square(), value=-1, out=local[:, :, 2])
        local[:, :, 3].mul_(squashed)
        local_memory = torch.addcmul(output_gate, output_gate, squashed.square(), value=-1)  # of read by memory
        carried = forget_gate  # of memory by the memory before
        if mask is not None:
            valid = mask.unsqueeze(-1)  # (T, B, 1)
            skipped = (~valid).to(projected)
            d_outputs, local, local_memory = d_outputs * valid, local * valid.unsqueeze(-1), local_memory * valid
            carried = torch.where(valid, forget_gate, 1.0)
        if local_output is not None:
            direct_memory = d_outputs * output_gate
            direct_gate = d_outputs * after(memory, reverse) * local_output
        d_summed = torch.empty_like(local)  # (T, B, 4, H)
        d_projections = torch.empty_like(after(hidden, reverse)) if weight_hr is not None else None
        memory_blocks = list(zip(local[:, :, :3].unbind(0), d_summed[:, :, :3].unbind(0), strict=True))
        read_blocks = list(zip(local[:, :, 3].unbind(0), d_summed[:, :, 3].unbind(0), strict=True))
        d_rows, d_outputs_of = d_summed.flatten(2).unbind(0), d_outputs.unbind(0)
        local_memories, carries = local_memory.unbind(0), carried.unbind(0)
        for t, _, _ in reversed(steps(length, reverse)):
            if local_output is None:
                d_hidden = d_hidden + d_outputs_of[t]
            d_read = d_hidden if weight_hr is None else d_hidden @ weight_hr
            d_memory = torch.addcmul(d_memory, d_read, local_memories[t])
            if local_output is not None:
                d_memory = d_memory + direct_memory[t]
            torch.mul(memory_blocks[t][0], d_memory.unsqueeze(1), out=memory_blocks[t][1])
            torch.mul(read_blocks[t][0], d_read, out=read_blocks[t][1])
            if local_output is not None:
                read_blocks[t][1].add_(direct_gate[t])
            if d_projections is not None:
                d_projections[t] = d_hidden if mask is None else d_hidden * valid[t]
            d_memory = d_memory * carries[t]
            d_last = d_rows[t] @ weight_hh
            d_last = d_last if dropout is None else d_last * dropout
            d_hidden = d_last if mask is None else torch.addcmul(d_last, d_hidden, skipped[t])
        d_summed = d_summed.flatten(2)  # (T, B, 4·H)
        recurrent = before(hidden, reverse) if dropout is None else before(hidden, reverse) * dropout
        d_weight_hh = weight_gradient(d_summed, recurrent)
        d_weight_hr = None if d_projections is None else weight_gradient(d_projections, output_gate * squashed)
        return None, None, None, d_summed, d_weight_hh, d_weight_hr, d_hidden, d_memory, None
