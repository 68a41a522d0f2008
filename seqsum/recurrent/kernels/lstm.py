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
        gates = torch.empty_like(projected)  # (T, B, 4·H)
        squashed = projected.new_empty(length, *initial_memory.shape)  # tanh(memory), (T, B, H)
        hidden = room_for_states(initial_hidden, length, reverse)  # (T + 1, B, P)
        memory = room_for_states(initial_memory, length, reverse)  # (T + 1, B, H)
        for t, last, now in steps(length, reverse):
            recurrent = hidden[last] if dropout is None else hidden[last] * dropout
            torch.addmm(projected[t], recurrent, weight_hh.t(), out=gates[t])
            blocks = gates[t].view(batch, 4, size)
            blocks[:, :2].sigmoid_()
            blocks[:, 2].tanh_()
            blocks[:, 3].sigmoid_()
            input_gate, forget_gate, cell_update, output_gate = blocks.unbind(1)
            torch.mul(forget_gate, memory[last], out=memory[now]).addcmul_(input_gate, cell_update)
            torch.tanh(memory[now], out=squashed[t])
            read = output_gate * squashed[t]
            hidden[now] = read if weight_hr is None else read @ weight_hr.t()
            if mask is not None:
                valid = mask[t].unsqueeze(-1)
                hidden[now] = torch.where(valid, hidden[now], hidden[last])
                memory[now] = torch.where(valid, memory[now], memory[last])
        ctx.cell, ctx.mask, ctx.reverse = cell, mask, reverse
        ctx.save_for_backward(
            projected, weight_hh, weight_hr, initial_hidden, initial_memory, dropout, gates, squashed, hidden, memory
        )
        if cell.output_activation == "identity":
            outputs = gates.view(length, batch, 4, size)[:, :, 3] * after(memory, reverse)
        else:
            outputs = after(hidden, reverse).clone()
        if mask is not None:
            outputs = outputs * mask.unsqueeze(-1)
        return outputs, hidden[now].clone(), memory[now].clone()

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
        local = torch.empty_like(gates).view(length, batch, 4, size)
        local[:, :, 0] = cell_update * input_gate * (1 - input_gate)
        local[:, :, 1] = before(memory, reverse) * forget_gate * (1 - forget_gate)
        local[:, :, 2] = input_gate * (1 - cell_update.square())
        local_output = output_gate * (1 - output_gate)
        local[:, :, 3] = squashed * local_output
        local_memory = output_gate * (1 - squashed.square())  # of read by memory
        carried = forget_gate  # of memory by the memory before
        if mask is not None:
            valid = mask.unsqueeze(-1)  # (T, B, 1)
            skipped = (~valid).to(projected)
            d_outputs, local, local_memory = d_outputs * valid, local * valid.unsqueeze(-1), local_memory * valid
            carried = torch.where(valid, forget_gate, 1.0)
        identity = cell.output_activation == "identity"
        if identity:
            direct_memory = d_outputs * output_gate
            direct_gate = d_outputs * after(memory, reverse) * local_output
        d_summed = torch.empty_like(local)  # (T, B, 4, H)
        d_projections = torch.empty_like(after(hidden, reverse)) if weight_hr is not None else None
        for t, _, _ in reversed(steps(length, reverse)):
            if not identity:
                d_hidden = d_hidden + d_outputs[t]
            d_read = d_hidden if weight_hr is None else d_hidden @ weight_hr
            d_memory = torch.addcmul(d_memory, d_read, local_memory[t])
            if identity:
                d_memory = d_memory + direct_memory[t]
            torch.mul(local[t, :, :3], d_memory.unsqueeze(1), out=d_summed[t, :, :3])
            torch.mul(local[t, :, 3], d_read, out=d_summed[t, :, 3])
            if identity:
                d_summed[t, :, 3] += direct_gate[t]
            if d_projections is not None:
                d_projections[t] = d_hidden if mask is None else d_hidden * valid[t]
            d_memory = d_memory * carried[t]
            d_last = d_summed[t].flatten(1) @ weight_hh
            d_last = d_last if dropout is None else d_last * dropout
            d_hidden = d_last if mask is None else torch.addcmul(d_last, d_hidden, skipped[t])
        d_summed = d_summed.flatten(2)  # (T, B, 4·H)
        recurrent = before(hidden, reverse) if dropout is None else before(hidden, reverse) * dropout
        d_weight_hh = weight_gradient(d_summed, recurrent)
        d_weight_hr = None if d_projections is None else weight_gradient(d_projections, output_gate * squashed)
        return None, None, None, d_summed, d_weight_hh, d_weight_hr, d_hidden, d_memory, None
