"""The LSTM in Triton: all steps of a block of rows in one launch. The equations are those of `kernels/lstm.py`."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from seqsum.recurrent.cells.lstm import LSTMCell
from seqsum.recurrent.kernels.common import before, differentiable_gradients
from seqsum.recurrent.kernels.triton.common import (
    add_products,
    add_recurrent_gradient,
    launch,
    load,
    load_dropout,
    load_gates,
    load_valid,
    load_weights,
    product_weight,
    room_for_states,
    state_type,
    step_places,
    store_gates,
    sum_products,
    tanh,
    weight_gradient,
)


def unroll_lstm(
    cell: LSTMCell, inputs: Tensor, state: list[Tensor], mask: Tensor | None = None, reverse: bool = False
) -> tuple[Tensor, list[Tensor]]:
    """The same as `Unroll(cell)(inputs, state, mask, reverse)`, on a GPU."""
    hidden, memory, *constants = state
    dropout = constants[0].contiguous() if constants else None
    mask = None if mask is None else mask.contiguous()
    projected = cell.project(inputs).contiguous()
    outputs, hidden, memory = _UnrollLSTM.apply(cell, mask, reverse, projected, hidden, memory, dropout, cell.weight_hh)
    return outputs, [hidden, memory, *constants]


class _UnrollLSTM(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        cell: LSTMCell,
        mask: Tensor | None,
        reverse: bool,
        projected: Tensor,
        initial_hidden: Tensor,
        initial_memory: Tensor,
        dropout: Tensor | None,
        weight_hh: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        (length, batch, _), dtype = projected.shape, state_type(projected)
        hidden = room_for_states(initial_hidden.to(dtype), length, reverse)  # (T + 1, B, H)
        memory = room_for_states(initial_memory.to(dtype), length, reverse)  # (T + 1, B, H)
        gates = torch.empty_like(projected)  # (T, B, 4·H)
        outputs = initial_hidden.new_empty(length, *initial_hidden.shape)
        weight, identity = product_weight(weight_hh, projected), cell.output_activation == "identity"
        arguments = (mask, dropout, projected, gates, hidden, memory, outputs, length)
        launch(_forward_on_chip, _forward_blocked, weight, batch, *arguments, reverse=reverse, identity=identity)
        ctx.cell, ctx.mask, ctx.reverse = cell, mask, reverse
        ctx.save_for_backward(projected, weight_hh, initial_hidden, initial_memory, dropout, hidden, memory, gates)
        last = 0 if reverse else length
        return outputs, hidden[last].to(initial_hidden, copy=True), memory[last].to(initial_memory, copy=True)

    @staticmethod
    def backward(ctx: Any, d_outputs: Tensor, d_hidden: Tensor, d_memory: Tensor) -> tuple[Tensor | None, ...]:
        projected, weight_hh, initial_hidden, initial_memory, dropout, hidden, memory, gates = ctx.saved_tensors
        cell, mask, reverse = ctx.cell, ctx.mask, ctx.reverse
        if torch.is_grad_enabled():
            state, gradients = (initial_hidden, initial_memory, dropout), (d_outputs, d_hidden, d_memory)
            weights = {"weight_hh": weight_hh}
            found = differentiable_gradients(cell, mask, reverse, projected, state, weights, gradients, projected=True)
            return None, None, None, *found
        length, batch, _ = projected.shape
        d_hidden = d_hidden.contiguous().to(hidden.dtype, copy=True)  # of the last step; the kernel leaves there
        d_memory = d_memory.contiguous().to(memory.dtype, copy=True)  # that of the initial state
        d_summed = torch.empty_like(gates)  # (T, B, 4·H)
        weight, identity = product_weight(weight_hh, projected), cell.output_activation == "identity"
        arguments = (mask, dropout, gates, memory, d_outputs.contiguous(), d_hidden, d_memory, d_summed, length)
        launch(_backward_on_chip, _backward_blocked, weight, batch, *arguments, reverse=reverse, identity=identity)
        recurrent = before(hidden, reverse) if dropout is None else before(hidden, reverse) * dropout
        d_weight = weight_gradient(d_summed, recurrent.to(d_summed)).to(weight_hh)
        d_initial = d_hidden.to(initial_hidden), d_memory.to(initial_memory)
        return None, None, None, d_summed, *d_initial, None, d_weight


@triton.jit
def _forward_step(summed, last_hidden, last_memory, valid, identity: tl.constexpr):
    """Summed inputs of the gates and the state before -> gates, hidden, memory, output."""
    input_gate, forget_gate, output_gate = tl.sigmoid(summed[0]), tl.sigmoid(summed[1]), tl.sigmoid(summed[3])
    cell_update = tanh(summed[2])
    memory = forget_gate * last_memory + input_gate * cell_update
    hidden = output_gate * tanh(memory)
    output = tl.where(valid, output_gate * memory if identity else hidden, 0.0)
    gates = input_gate, forget_gate, cell_update, output_gate
    return gates, tl.where(valid, hidden, last_hidden), tl.where(valid, memory, last_memory), output


@triton.jit
def _backward_step(gates, last_memory, memory, d_output, d_hidden, d_memory, valid, identity: tl.constexpr):
    """-> δsummed of each gate, what passes to δhidden of the step before without them, δmemory of that step."""
    input_gate, forget_gate, cell_update, output_gate = gates
    squashed = tanh(memory)
    d_read = d_hidden if identity else d_hidden + d_output
    d_all_memory = d_memory + d_read * output_gate * (1 - squashed * squashed)
    d_output_gate = d_read * squashed
    if identity:
        d_all_memory += d_output * output_gate
        d_output_gate += d_output * memory
    d_input = tl.where(valid, d_all_memory * cell_update * input_gate * (1 - input_gate), 0.0)
    d_forget = tl.where(valid, d_all_memory * last_memory * forget_gate * (1 - forget_gate), 0.0)
    d_update = tl.where(valid, d_all_memory * input_gate * (1 - cell_update * cell_update), 0.0)
    d_output = tl.where(valid, d_output_gate * output_gate * (1 - output_gate), 0.0)
    d_summed = d_input, d_forget, d_update, d_output
    return d_summed, tl.where(valid, 0.0, d_hidden), tl.where(valid, d_all_memory * forget_gate, d_memory)


@triton.jit(do_not_specialize=["length"])
def _forward_on_chip(
    weight, mask, dropout, projected, gates, hiddens, memories, outputs, length, batch,
    size: tl.constexpr, reverse: tl.constexpr, identity: tl.constexpr, precision: tl.constexpr,
    block_rows: tl.constexpr, block_units: tl.constexpr,
):  # fmt: skip
    dtype: tl.constexpr = hiddens.dtype.element_ty
    rows, units = tl.program_id(0) * block_rows + tl.arange(0, block_rows), tl.arange(0, block_units)
    inside = (rows < batch)[:, None] & (units < size)[None, :]
    place, gate_place = rows[:, None] * size + units[None, :], rows[:, None] * 4 * size + units[None, :]
    weights = load_weights(weight, 4, units[None, :], units[:, None], size)
    kept = load_dropout(dropout, place, inside, dtype)
    _, first, _ = step_places(0, length, reverse)
    hidden = load(hiddens + first * batch * size, place, inside, dtype)
    memory = load(memories + first * batch * size, place, inside, dtype)
    for step in tl.range(0, length, num_stages=2):  # loads the next step's inputs ahead
        t, _, now = step_places(step, length, reverse)
        summed = load_gates(projected + t * batch * 4 * size, 4, gate_place, inside, size, dtype)
        summed = add_products(summed, 4, hidden * kept, weights, precision)
        valid = load_valid(mask, t, rows, batch)
        now_gates, hidden, memory, output = _forward_step(summed, hidden, memory, valid, identity)
        store_gates(gates + t * batch * 4 * size, 4, gate_place, inside, size, now_gates)
        tl.store(hiddens + now * batch * size + place, hidden, mask=inside)
        tl.store(memories + now * batch * size + place, memory, mask=inside)
        tl.store(outputs + t * batch * size + place, output, mask=inside)


@triton.jit(do_not_specialize=["length"])
def _forward_blocked(
    weight, mask, dropout, projected, gates, hiddens, memories, outputs, length, batch,
    size: tl.constexpr, reverse: tl.constexpr, identity: tl.constexpr, precision: tl.constexpr,
    block_rows: tl.constexpr, block_units: tl.constexpr, block_inner: tl.constexpr,
):  # fmt: skip
    dtype: tl.constexpr = hiddens.dtype.element_ty
    rows = tl.program_id(0) * block_rows + tl.arange(0, block_rows)
    for step in tl.range(0, length, num_stages=1):  # a state can't be read ahead
        t, last, now = step_places(step, length, reverse)
        valid = load_valid(mask, t, rows, batch)
        for start in range(0, size, block_units):
            units = start + tl.arange(0, block_units)
            inside = (rows < batch)[:, None] & (units < size)[None, :]
            place, gate_place = rows[:, None] * size + units[None, :], rows[:, None] * 4 * size + units[None, :]
            summed = load_gates(projected + t * batch * 4 * size, 4, gate_place, inside, size, dtype)
            for inner_start in range(0, size, block_inner):
                inner = inner_start + tl.arange(0, block_inner)
                inner_inside = (rows < batch)[:, None] & (inner < size)[None, :]
                inner_place = rows[:, None] * size + inner[None, :]
                recurrent = load(hiddens + last * batch * size, inner_place, inner_inside, dtype)
                recurrent *= load_dropout(dropout, inner_place, inner_inside, dtype)
                weights = load_weights(weight, 4, units[None, :], inner[:, None], size)
                summed = add_products(summed, 4, recurrent, weights, precision)
            hidden = load(hiddens + last * batch * size, place, inside, dtype)
            memory = load(memories + last * batch * size, place, inside, dtype)
            now_gates, hidden, memory, output = _forward_step(summed, hidden, memory, valid, identity)
            store_gates(gates + t * batch * 4 * size, 4, gate_place, inside, size, now_gates)
            tl.store(hiddens + now * batch * size + place, hidden, mask=inside)
            tl.store(memories + now * batch * size + place, memory, mask=inside)
            tl.store(outputs + t * batch * size + place, output, mask=inside)
        tl.debug_barrier()  # other threads read this hidden state in the next step


@triton.jit(do_not_specialize=["length"])
def _backward_on_chip(
    weight, mask, dropout, gates, memories, d_outputs, d_hidden_state, d_memory_state, d_summed, length, batch,
    size: tl.constexpr, reverse: tl.constexpr, identity: tl.constexpr, precision: tl.constexpr,
    block_rows: tl.constexpr, block_units: tl.constexpr,
):  # fmt: skip
    dtype: tl.constexpr = memories.dtype.element_ty
    rows, units = tl.program_id(0) * block_rows + tl.arange(0, block_rows), tl.arange(0, block_units)
    inside = (rows < batch)[:, None] & (units < size)[None, :]
    place, gate_place = rows[:, None] * size + units[None, :], rows[:, None] * 4 * size + units[None, :]
    weights = load_weights(weight, 4, units[:, None], units[None, :], size)
    kept = load_dropout(dropout, place, inside, dtype)
    d_hidden = load(d_hidden_state, place, inside, dtype)
    d_memory = load(d_memory_state, place, inside, dtype)
    for step in tl.range(0, length, num_stages=2):
        t, last, now = step_places(length - 1 - step, length, reverse)
        now_gates = load_gates(gates + t * batch * 4 * size, 4, gate_place, inside, size, dtype)
        last_memory = load(memories + last * batch * size, place, inside, dtype)
        memory = load(memories + now * batch * size, place, inside, dtype)
        d_output = load(d_outputs + t * batch * size, place, inside, dtype)
        valid = load_valid(mask, t, rows, batch)
        d_gates, d_hidden, d_memory = _backward_step(
            now_gates, last_memory, memory, d_output, d_hidden, d_memory, valid, identity
        )
        store_gates(d_summed + t * batch * 4 * size, 4, gate_place, inside, size, d_gates)
        d_hidden += sum_products(d_gates, 4, weights, precision) * kept
    tl.store(d_hidden_state + place, d_hidden, mask=inside)
    tl.store(d_memory_state + place, d_memory, mask=inside)


@triton.jit(do_not_specialize=["length"])
def _backward_blocked(
    weight, mask, dropout, gates, memories, d_outputs, d_hidden_state, d_memory_state, d_summed, length, batch,
    size: tl.constexpr, reverse: tl.constexpr, identity: tl.constexpr, precision: tl.constexpr,
    block_rows: tl.constexpr, block_units: tl.constexpr, block_inner: tl.constexpr,
):  # fmt: skip
    dtype: tl.constexpr = memories.dtype.element_ty
    rows = tl.program_id(0) * block_rows + tl.arange(0, block_rows)
    for step in tl.range(0, length, num_stages=1):  # a state can't be read ahead
        t, last, now = step_places(length - 1 - step, length, reverse)
        valid = load_valid(mask, t, rows, batch)
        for start in range(0, size, block_units):
            units = start + tl.arange(0, block_units)
            inside = (rows < batch)[:, None] & (units < size)[None, :]
            place, gate_place = rows[:, None] * size + units[None, :], rows[:, None] * 4 * size + units[None, :]
            now_gates = load_gates(gates + t * batch * 4 * size, 4, gate_place, inside, size, dtype)
            last_memory = load(memories + last * batch * size, place, inside, dtype)
            memory = load(memories + now * batch * size, place, inside, dtype)
            d_output = load(d_outputs + t * batch * size, place, inside, dtype)
            d_hidden = load(d_hidden_state, place, inside, dtype)
            d_memory = load(d_memory_state, place, inside, dtype)
            d_gates, d_hidden, d_memory = _backward_step(
                now_gates, last_memory, memory, d_output, d_hidden, d_memory, valid, identity
            )
            store_gates(d_summed + t * batch * 4 * size, 4, gate_place, inside, size, d_gates)
            tl.store(d_hidden_state + place, d_hidden, mask=inside)
            tl.store(d_memory_state + place, d_memory, mask=inside)
        tl.debug_barrier()  # other threads read these δsummed now
        add_recurrent_gradient(
            d_summed + t * batch * 4 * size, weight, dropout, d_hidden_state, rows, batch,
            4, size, precision, block_rows, block_units, block_inner,
        )  # fmt: skip
        tl.debug_barrier()  # and this δhidden in the next step
