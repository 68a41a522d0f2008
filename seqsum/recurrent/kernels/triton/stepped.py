"""Kernels that run one step, where the persistent kernels would need more programs than can run at the same time.

A step takes two launches: torch's matrix product, then one of these kernels for everything else. The equations are the
same, for any number of units and rows. All launches of a sequence have the same arguments, except for the step.
"""

from __future__ import annotations

import triton
import triton.language as tl

from seqsum.recurrent.kernels.triton.blocks import (
    convert,
    load,
    load_dropout,
    load_several,
    step_places,
    store_several,
)
from seqsum.recurrent.kernels.triton.equations import backward_step, forward_step


@triton.jit
def _places(batch, size: tl.constexpr, block: tl.constexpr):
    """Return the units, rows and offsets of the program's block of `(B, H)`, and which of them exist."""
    place = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    row = place // size
    return place % size, row, place, row < batch


@triton.jit
def _load_valid(mask, t, batch, row, inside):
    if mask is None:
        return inside
    else:
        return tl.load(mask + t * batch + row, mask=inside, other=0) != 0


@triton.jit(do_not_specialize=["step", "length", "batch"])
def forward_once(
    product, bias, mask, projected, kept, hiddens, cell_states, outputs, hidden, cell_state, step, length, batch,
    cell: tl.constexpr, variant: tl.constexpr, approximate: tl.constexpr, gates: tl.constexpr,
    num_kept: tl.constexpr, size: tl.constexpr, reverse: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Run one step from `product`, `W_hh hidden`. Updates the state in place and copies it to `hiddens`, `cell_states`.

    `mask`, `projected`, `kept`, `hiddens`, `cell_states` and `outputs` hold all steps, see `launch.Forward`.
    """
    dtype: tl.constexpr = hidden.dtype.element_ty
    t, _, now = step_places(step, length, reverse)
    unit, row, place, inside = _places(batch, size, block)
    valid = _load_valid(mask, t, batch, row, inside)
    gate_place = row * gates * size + unit
    inputs = load_several(projected + t * batch * gates * size, gates, gate_place, inside, size)
    inputs = convert(inputs, gates, dtype)
    recurrent = convert(load_several(product, gates, gate_place, inside, size), gates, dtype)
    if bias is not None:
        biases = convert(load_several(bias, gates, unit, inside, size), gates, dtype)
        recurrent = recurrent[0] + biases[0], recurrent[1] + biases[1], recurrent[2] + biases[2]
    last_hidden, last_cell_state = load(hidden, place, inside, dtype), load(cell_state, place, inside, dtype)
    now_kept, new_hidden, new_cell_state, output = forward_step(
        cell, variant, approximate, inputs, recurrent, last_hidden, last_cell_state
    )
    new_hidden = tl.where(valid, new_hidden, last_hidden)
    tl.store(hidden + place, new_hidden, mask=inside)
    tl.store(hiddens + now * batch * size + place, new_hidden, mask=inside)
    if outputs is not None:
        tl.store(outputs + t * batch * size + place, tl.where(valid, output, 0.0), mask=inside)
    if cell_state is not None:
        new_cell_state = tl.where(valid, new_cell_state, last_cell_state)
        tl.store(cell_state + place, new_cell_state, mask=inside)
        if cell_states is not None:
            tl.store(cell_states + now * batch * size + place, new_cell_state, mask=inside)
    if kept is not None:
        kept_place = row * num_kept * size + unit
        store_several(kept + t * batch * num_kept * size, num_kept, kept_place, inside, size, now_kept)


@triton.jit(do_not_specialize=["step", "length", "batch"])
def backward_once(
    product, mask, dropout, kept, states, d_outputs, d_projected, d_recurrent, d_hidden, d_cell_state, step,
    length, batch, cell: tl.constexpr, variant: tl.constexpr, approximate: tl.constexpr, gates: tl.constexpr,
    num_kept: tl.constexpr, size: tl.constexpr, reverse: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Run one step backwards from `product`, `W_hhᵀ δ` of the step after it. Updates the state's gradients in place.

    The tensors from `kept` to `d_recurrent`, and `mask`, hold all steps, see `launch.Backward`.
    """
    dtype: tl.constexpr = d_hidden.dtype.element_ty
    t, last, now = step_places(step, length, reverse)
    unit, row, place, inside = _places(batch, size, block)
    valid = _load_valid(mask, t, batch, row, inside)
    if num_kept == 0:
        now_kept = ()
    else:
        kept_place = row * num_kept * size + unit
        now_kept = load_several(kept + t * batch * num_kept * size, num_kept, kept_place, inside, size)
    now_kept = convert(now_kept, num_kept, dtype)
    state = load(states, (now if cell == "rnn" else last) * batch * size + place, inside, dtype)
    d_output = load(d_outputs, t * batch * size + place, inside, dtype)
    d_now_hidden, d_now_cell_state = load(d_hidden, place, inside, dtype), load(d_cell_state, place, inside, dtype)
    d_now_hidden += load(product, place, inside, dtype) * load_dropout(dropout, place, inside, dtype)
    d_inputs, d_gates, d_now_hidden, d_now_cell_state = backward_step(
        cell, variant, approximate, now_kept, state, d_output, d_now_hidden, d_now_cell_state, valid
    )
    gate_place = t * batch * gates * size + row * gates * size + unit
    store_several(d_recurrent, gates, gate_place, inside, size, d_gates)
    if cell == "gru":
        store_several(d_projected, gates, gate_place, inside, size, d_inputs)
    tl.store(d_hidden + place, d_now_hidden, mask=inside)
    if d_cell_state is not None:
        tl.store(d_cell_state + place, d_now_cell_state, mask=inside)
