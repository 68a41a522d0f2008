"""The GRU in Triton: all steps of a block of rows in one launch. The equations are those of `kernels/gru.py`."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from seqsum.recurrent.cells.gru import GRUCell
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


def unroll_gru(
    cell: GRUCell, inputs: Tensor, state: list[Tensor], mask: Tensor | None = None, reverse: bool = False
) -> tuple[Tensor, list[Tensor]]:
    """The same as `Unroll(cell)(inputs, state, mask, reverse)`, on a GPU."""
    hidden, *constants = state
    dropout = constants[0].contiguous() if constants else None
    mask = None if mask is None else mask.contiguous()
    projected = cell.project(inputs).contiguous()
    outputs, hidden = _UnrollGRU.apply(cell, mask, reverse, projected, hidden, dropout, cell.weight_hh, cell.bias_hh)
    return outputs, [hidden, *constants]


class _UnrollGRU(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        cell: GRUCell,
        mask: Tensor | None,
        reverse: bool,
        projected: Tensor,
        initial: Tensor,
        dropout: Tensor | None,
        weight_hh: Tensor,
        bias_hh: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        (length, batch, _), size = projected.shape, initial.shape[-1]
        hidden = room_for_states(initial.to(state_type(projected)), length, reverse)  # (T + 1, B, H)
        gates = projected.new_empty(length, batch, 4 * size)  # reset, update, candidate, recurrent_candidate
        outputs = initial.new_empty(length, batch, size)
        weight = product_weight(weight_hh, projected)
        bias = None if bias_hh is None else bias_hh.contiguous()
        arguments = (mask, dropout, bias, projected, gates, hidden, outputs, length)
        launch(_forward_on_chip, _forward_blocked, weight, batch, *arguments, reverse=reverse)
        ctx.cell, ctx.mask, ctx.reverse = cell, mask, reverse
        ctx.save_for_backward(projected, weight_hh, bias_hh, initial, dropout, hidden, gates)
        return outputs, hidden[0 if reverse else length].to(initial, copy=True)

    @staticmethod
    def backward(ctx: Any, d_outputs: Tensor, d_hidden: Tensor) -> tuple[Tensor | None, ...]:
        projected, weight_hh, bias_hh, initial, dropout, hidden, gates = ctx.saved_tensors
        cell, mask, reverse = ctx.cell, ctx.mask, ctx.reverse
        if torch.is_grad_enabled():
            weights, gradients = {"weight_hh": weight_hh, "bias_hh": bias_hh}, (d_outputs, d_hidden)
            state = (initial, dropout)
            found = differentiable_gradients(cell, mask, reverse, projected, state, weights, gradients, projected=True)
            return None, None, None, *found
        length, batch, _ = projected.shape
        d_hidden = d_hidden.contiguous().to(hidden.dtype, copy=True)  # after the last step; left before the first
        d_projected, d_recurrent = torch.empty_like(projected), torch.empty_like(projected)  # (T, B, 3·H)
        weight = product_weight(weight_hh, projected)
        arguments = (mask, dropout, gates, hidden, d_outputs.contiguous(), d_hidden, d_projected, d_recurrent, length)
        launch(_backward_on_chip, _backward_blocked, weight, batch, *arguments, reverse=reverse)
        recurrent = before(hidden, reverse) if dropout is None else before(hidden, reverse) * dropout
        d_weight = weight_gradient(d_recurrent, recurrent.to(d_recurrent)).to(weight_hh)
        d_bias = None if bias_hh is None else d_recurrent.sum((0, 1)).to(bias_hh)
        return None, None, None, d_projected, d_hidden.to(initial), None, d_weight, d_bias


@triton.jit
def _forward_step(projected, recurrent, last_hidden, valid):
    """The input's and the hidden state's contributions -> gates, as they are kept, hidden, output."""
    reset_gate, update_gate = tl.sigmoid(projected[0] + recurrent[0]), tl.sigmoid(projected[1] + recurrent[1])
    candidate = tanh(projected[2] + reset_gate * recurrent[2])
    hidden = candidate + update_gate * (last_hidden - candidate)
    gates = reset_gate, update_gate, candidate, recurrent[2]
    return gates, tl.where(valid, hidden, last_hidden), tl.where(valid, hidden, 0.0)


@triton.jit
def _backward_step(gates, last_hidden, d_output, d_hidden, valid):
    """-> δprojected and δrecurrent of each gate, what passes to δhidden of the step before without them."""
    reset_gate, update_gate, candidate, recurrent_candidate = gates
    d_all_hidden = tl.where(valid, d_hidden + d_output, 0.0)
    d_candidate = d_all_hidden * (1 - update_gate) * (1 - candidate * candidate)
    d_reset = d_candidate * recurrent_candidate * reset_gate * (1 - reset_gate)
    d_update = d_all_hidden * (last_hidden - candidate) * update_gate * (1 - update_gate)
    d_projected, d_recurrent = (d_reset, d_update, d_candidate), (d_reset, d_update, d_candidate * reset_gate)
    return d_projected, d_recurrent, tl.where(valid, d_all_hidden * update_gate, d_hidden)


@triton.jit
def _load_biases(bias, units, size: tl.constexpr, block_rows: tl.constexpr, dtype: tl.constexpr):
    """`b_hh` of each gate, for all rows."""
    zeros = tl.zeros((block_rows, units.shape[0]), dtype)
    if bias is None:
        return zeros, zeros, zeros
    else:  # noqa: RET505  # Triton would compile it in any case
        biases = load_gates(bias, 3, units, units < size, size, dtype)
        return zeros + biases[0][None, :], zeros + biases[1][None, :], zeros + biases[2][None, :]


@triton.jit(do_not_specialize=["length"])
def _forward_on_chip(
    weight, mask, dropout, bias, projected, gates, hiddens, outputs, length, batch,
    size: tl.constexpr, reverse: tl.constexpr, precision: tl.constexpr,
    block_rows: tl.constexpr, block_units: tl.constexpr,
):  # fmt: skip
    dtype: tl.constexpr = hiddens.dtype.element_ty
    rows, units = tl.program_id(0) * block_rows + tl.arange(0, block_rows), tl.arange(0, block_units)
    inside = (rows < batch)[:, None] & (units < size)[None, :]
    place = rows[:, None] * size + units[None, :]
    gate_place = rows[:, None] * 3 * size + units[None, :]
    kept_place = rows[:, None] * 4 * size + units[None, :]
    weights = load_weights(weight, 3, units[None, :], units[:, None], size)
    biases = _load_biases(bias, units, size, block_rows, dtype)
    kept = load_dropout(dropout, place, inside, dtype)
    _, first, _ = step_places(0, length, reverse)
    hidden = load(hiddens + first * batch * size, place, inside, dtype)
    for step in tl.range(0, length, num_stages=2):  # loads the next step's inputs ahead
        t, _, now = step_places(step, length, reverse)
        inputs = load_gates(projected + t * batch * 3 * size, 3, gate_place, inside, size, dtype)
        recurrent = add_products(biases, 3, hidden * kept, weights, precision)
        valid = load_valid(mask, t, rows, batch)
        now_gates, hidden, output = _forward_step(inputs, recurrent, hidden, valid)
        store_gates(gates + t * batch * 4 * size, 4, kept_place, inside, size, now_gates)
        tl.store(hiddens + now * batch * size + place, hidden, mask=inside)
        tl.store(outputs + t * batch * size + place, output, mask=inside)


@triton.jit(do_not_specialize=["length"])
def _forward_blocked(
    weight, mask, dropout, bias, projected, gates, hiddens, outputs, length, batch,
    size: tl.constexpr, reverse: tl.constexpr, precision: tl.constexpr,
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
            place = rows[:, None] * size + units[None, :]
            gate_place = rows[:, None] * 3 * size + units[None, :]
            kept_place = rows[:, None] * 4 * size + units[None, :]
            recurrent = _load_biases(bias, units, size, block_rows, dtype)
            for inner_start in range(0, size, block_inner):
                inner = inner_start + tl.arange(0, block_inner)
                inner_inside = (rows < batch)[:, None] & (inner < size)[None, :]
                inner_place = rows[:, None] * size + inner[None, :]
                hidden = load(hiddens + last * batch * size, inner_place, inner_inside, dtype)
                hidden *= load_dropout(dropout, inner_place, inner_inside, dtype)
                weights = load_weights(weight, 3, units[None, :], inner[:, None], size)
                recurrent = add_products(recurrent, 3, hidden, weights, precision)
            inputs = load_gates(projected + t * batch * 3 * size, 3, gate_place, inside, size, dtype)
            hidden = load(hiddens + last * batch * size, place, inside, dtype)
            now_gates, hidden, output = _forward_step(inputs, recurrent, hidden, valid)
            store_gates(gates + t * batch * 4 * size, 4, kept_place, inside, size, now_gates)
            tl.store(hiddens + now * batch * size + place, hidden, mask=inside)
            tl.store(outputs + t * batch * size + place, output, mask=inside)
        tl.debug_barrier()  # other threads read this hidden state in the next step


@triton.jit(do_not_specialize=["length"])
def _backward_on_chip(
    weight, mask, dropout, gates, hiddens, d_outputs, d_hidden_state, d_projected, d_recurrent, length, batch,
    size: tl.constexpr, reverse: tl.constexpr, precision: tl.constexpr,
    block_rows: tl.constexpr, block_units: tl.constexpr,
):  # fmt: skip
    dtype: tl.constexpr = hiddens.dtype.element_ty
    rows, units = tl.program_id(0) * block_rows + tl.arange(0, block_rows), tl.arange(0, block_units)
    inside = (rows < batch)[:, None] & (units < size)[None, :]
    place = rows[:, None] * size + units[None, :]
    gate_place = rows[:, None] * 3 * size + units[None, :]
    kept_place = rows[:, None] * 4 * size + units[None, :]
    weights = load_weights(weight, 3, units[:, None], units[None, :], size)
    kept = load_dropout(dropout, place, inside, dtype)
    d_hidden = load(d_hidden_state, place, inside, dtype)
    for step in tl.range(0, length, num_stages=2):
        t, last, _ = step_places(length - 1 - step, length, reverse)
        now_gates = load_gates(gates + t * batch * 4 * size, 4, kept_place, inside, size, dtype)
        last_hidden = load(hiddens + last * batch * size, place, inside, dtype)
        d_output = load(d_outputs + t * batch * size, place, inside, dtype)
        valid = load_valid(mask, t, rows, batch)
        d_inputs, d_gates, d_hidden = _backward_step(now_gates, last_hidden, d_output, d_hidden, valid)
        store_gates(d_projected + t * batch * 3 * size, 3, gate_place, inside, size, d_inputs)
        store_gates(d_recurrent + t * batch * 3 * size, 3, gate_place, inside, size, d_gates)
        d_hidden += sum_products(d_gates, 3, weights, precision) * kept
    tl.store(d_hidden_state + place, d_hidden, mask=inside)


@triton.jit(do_not_specialize=["length"])
def _backward_blocked(
    weight, mask, dropout, gates, hiddens, d_outputs, d_hidden_state, d_projected, d_recurrent, length, batch,
    size: tl.constexpr, reverse: tl.constexpr, precision: tl.constexpr,
    block_rows: tl.constexpr, block_units: tl.constexpr, block_inner: tl.constexpr,
):  # fmt: skip
    dtype: tl.constexpr = hiddens.dtype.element_ty
    rows = tl.program_id(0) * block_rows + tl.arange(0, block_rows)
    for step in tl.range(0, length, num_stages=1):
        t, last, _ = step_places(length - 1 - step, length, reverse)
        valid = load_valid(mask, t, rows, batch)
        for start in range(0, size, block_units):
            units = start + tl.arange(0, block_units)
            inside = (rows < batch)[:, None] & (units < size)[None, :]
            place = rows[:, None] * size + units[None, :]
            gate_place = rows[:, None] * 3 * size + units[None, :]
            kept_place = rows[:, None] * 4 * size + units[None, :]
            now_gates = load_gates(gates + t * batch * 4 * size, 4, kept_place, inside, size, dtype)
            last_hidden = load(hiddens + last * batch * size, place, inside, dtype)
            d_output = load(d_outputs + t * batch * size, place, inside, dtype)
            d_hidden = load(d_hidden_state, place, inside, dtype)
            d_inputs, d_gates, d_hidden = _backward_step(now_gates, last_hidden, d_output, d_hidden, valid)
            store_gates(d_projected + t * batch * 3 * size, 3, gate_place, inside, size, d_inputs)
            store_gates(d_recurrent + t * batch * 3 * size, 3, gate_place, inside, size, d_gates)
            tl.store(d_hidden_state + place, d_hidden, mask=inside)
        tl.debug_barrier()  # other threads read these δrecurrent now
        add_recurrent_gradient(
            d_recurrent + t * batch * 3 * size, weight, dropout, d_hidden_state, rows, batch,
            3, size, precision, block_rows, block_units, block_inner,
        )  # fmt: skip
        tl.debug_barrier()  # and this δhidden in the next step
