"""Persistent kernels: one launch runs all steps of a sequence, forwards or backwards, for every cell.

A program has the recurrent weights of its units. It keeps them in registers and shared memory for the whole sequence,
or, if they don't fit there, reads them again in each step, from the L1 or L2 cache (`streamed`). It also keeps the
states of its units and rows.

    alone      A program has all units, so it needn't exchange its hidden state.
    together   Several programs have the same rows and divide the units among them. In each step, a program writes its
               part of the hidden state and reads the others', through the L2 cache. Backwards, it multiplies the
               gradients of its gates by its weights, which gives a part of every unit's sum, and adds up the parts of
               its own units. All programs must run at the same time, hence a cooperative launch.

Sums have the type of the states, float32. Products multiply in the type of the weights: 16 bits, TF32 if torch may use
it, or float32 as three products in TF32. After the last valid step of all its rows, a program only writes zeros.
"""

from __future__ import annotations

import triton
import triton.language as tl

from seqsum.recurrent.kernels.triton.blocks import (
    convert,
    find_end,
    load,
    load_dropout,
    load_several,
    load_stack,
    load_taken,
    receive,
    share,
    stack,
    stacked_units,
    step_places,
    store_several,
    store_stack,
    unstack,
)
from seqsum.recurrent.kernels.triton.equations import backward_step, forward_step


@triton.jit(do_not_specialize=["length", "batch"])
def forward(
    weight, bias, mask, dropout, projected, initial_hidden, initial_cell_state,
    kept, hiddens, cell_states, outputs, final_hidden, final_cell_state, length, batch,
    cell: tl.constexpr, variant: tl.constexpr, gates: tl.constexpr, num_kept: tl.constexpr, size: tl.constexpr,
    padded: tl.constexpr, reverse: tl.constexpr, precision: tl.constexpr, approximate: tl.constexpr,
    alone: tl.constexpr, streamed: tl.constexpr, block_units: tl.constexpr, block_rows: tl.constexpr,
    each: tl.constexpr,
):  # fmt: skip
    """Run all steps forwards; see `launch.Forward` for the tensors."""
    dtype: tl.constexpr = tl.float64 if weight.dtype.element_ty == tl.float64 else tl.float32
    multiplied: tl.constexpr = projected.dtype.element_ty  # the type in which products read hidden states
    rows = tl.program_id(1) * block_rows + tl.arange(0, block_rows)
    units = tl.program_id(0) * block_units + tl.arange(0, block_units)
    inside = (units < size)[:, None] & (rows < batch)[None, :]
    place = rows[None, :] * size + units[:, None]
    chunks: tl.constexpr = (size + each - 1) // each  # into which the products' sums over the hidden state are divided
    end = find_end(mask, rows, length, batch)
    start, stop = (length - end, length) if reverse else (0, end)

    weights = ()
    if alone:
        weights = _load_gates(weight, units, gates, size, padded)
    elif not streamed:
        for k in tl.static_range(chunks):
            weights = weights + (_load_chunk(weight, k, gates, size, each, block_units),)
    biases = _load_biases(bias, units, gates, size, dtype)
    hidden = load(initial_hidden, place, inside, dtype)
    cell_state = load(initial_cell_state, place, inside, dtype)
    factors, operand = (), ()
    for k in tl.static_range(chunks):
        chunk_units = k * each + tl.arange(0, each)
        chunk_inside = (chunk_units < size)[:, None] & (rows < batch)[None, :]
        chunk_place = rows[None, :] * size + chunk_units[:, None]
        factors = factors + (load_dropout(dropout, chunk_place, chunk_inside, dtype),)
        first = load(initial_hidden, chunk_place, chunk_inside, dtype)
        operand = operand + (first * factors[k],)
    before_first = tl.cast(end if reverse else 0, tl.int64) * batch * size
    if hiddens is not None:
        share(hiddens + before_first, place, inside, hidden, multiplied)
    if cell_states is not None:
        tl.store(cell_states + before_first + place, cell_state, mask=inside)

    t, _, _ = step_places(start, length, reverse)
    some = start < stop
    following = _load_inputs(projected + t * batch * gates * size, gates, alone, rows, batch, some, size, block_units)
    following_taken = load_taken(mask, t, rows, batch, some)
    for step in tl.range(start, stop, num_stages=1):
        inputs = unstack(following.to(dtype), gates) if alone else convert(following, gates, dtype)
        valid = following_taken != 0
        more = step + 1 < stop
        t, _, _ = step_places(step + 1, length, reverse)  # the next step's inputs are loaded ahead
        ahead = projected + t * batch * gates * size
        following = _load_inputs(ahead, gates, alone, rows, batch, more, size, block_units)
        following_taken = load_taken(mask, t, rows, batch, more)

        recurrent = _forward_products(
            weight, weights, operand, alone, streamed, gates, size, each, block_units, chunks, precision, dtype
        )
        recurrent = _add_biases(recurrent, biases, bias is not None)
        now_kept, new_hidden, new_cell_state, output = forward_step(
            cell, variant, approximate, inputs, recurrent, hidden, cell_state
        )
        hidden, cell_state = tl.where(valid, new_hidden, hidden), tl.where(valid, new_cell_state, cell_state)

        t, _, now = step_places(step, length, reverse)
        if hiddens is not None:
            share(hiddens + now * batch * size, place, inside, hidden, multiplied)
        if outputs is not None:
            tl.store(outputs + t * batch * size + place, tl.where(valid, output, 0.0), mask=inside)
        if cell_states is not None:
            tl.store(cell_states + now * batch * size + place, cell_state, mask=inside)
        if kept is not None:
            here = kept + t * batch * num_kept * size
            if alone:
                store_stack(here, stack(now_kept, num_kept), num_kept, rows, rows < batch, size, block_units)
            else:
                kept_place = rows[None, :] * num_kept * size + units[:, None]
                store_several(here, num_kept, kept_place, inside, size, now_kept)
        if alone:
            operand = (hidden * factors[0],)
        else:
            received = receive(hiddens + now * batch * size, rows, batch, more, chunks, each, size, multiplied)
            operand = ()
            for k in tl.static_range(chunks):
                operand = operand + (received[k].to(dtype) * factors[k],)

    tl.store(final_hidden + place, hidden, mask=inside)
    if final_cell_state is not None:
        tl.store(final_cell_state + place, cell_state, mask=inside)
    zeros = tl.zeros(inside.shape, dtype)
    for beyond in range(end, length):
        there = tl.cast(beyond, tl.int64) * batch * size
        if outputs is not None:
            tl.store(outputs + there + place, zeros, mask=inside)
        if hiddens is not None:
            share(hiddens + there + batch * size, place, inside, zeros, multiplied)


@triton.jit(do_not_specialize=["length", "batch"])
def backward(
    weight, mask, dropout, kept, states, d_outputs, d_final_hidden, d_final_cell_state,
    d_projected, d_recurrent, d_initial_hidden, d_initial_cell_state, exchanged, length, batch,
    cell: tl.constexpr, variant: tl.constexpr, gates: tl.constexpr, num_kept: tl.constexpr, size: tl.constexpr,
    padded: tl.constexpr, reverse: tl.constexpr, precision: tl.constexpr, approximate: tl.constexpr,
    alone: tl.constexpr, streamed: tl.constexpr, block_units: tl.constexpr, block_rows: tl.constexpr,
    each: tl.constexpr,
):  # fmt: skip
    """Run all steps backwards; see `launch.Backward` for the tensors and `send_part` for `exchanged`."""
    dtype: tl.constexpr = tl.float64 if weight.dtype.element_ty == tl.float64 else tl.float32
    rows = tl.program_id(1) * block_rows + tl.arange(0, block_rows)
    units = tl.program_id(0) * block_units + tl.arange(0, block_units)
    inside = (units < size)[:, None] & (rows < batch)[None, :]
    place = rows[None, :] * size + units[:, None]
    end = find_end(mask, rows, length, batch)
    start, stop = (length - end, length) if reverse else (0, end)

    chunks: tl.constexpr = (size + each - 1) // each
    weights = ()
    if not streamed:
        for k in tl.static_range(chunks):
            weights = weights + (_load_transposed(weight, k, gates, size, each, block_units),)
    factors = load_dropout(dropout, place, inside, dtype)
    d_hidden = load(d_final_hidden, place, inside, dtype)
    d_cell_state = load(d_final_cell_state, place, inside, dtype)
    for beyond in range(end, length):
        there = tl.cast(beyond, tl.int64) * batch * gates * size
        store_stack(d_recurrent + there, 0.0, gates, rows, rows < batch, size, block_units)
        if cell == "gru":
            store_stack(d_projected + there, 0.0, gates, rows, rows < batch, size, block_units)

    following = _load_step(
        cell, kept, states, d_outputs, mask, stop - 1, start < stop, length, batch, rows, place, inside,
        num_kept, size, block_units, reverse,
    )  # fmt: skip
    for back in tl.range(0, stop - start, num_stages=1):
        stored_kept, stored_state, stored_d_output, taken = following
        now_kept = () if num_kept == 0 else unstack(stored_kept.to(dtype), num_kept)
        valid = taken != 0
        state, d_output = stored_state.to(dtype), stored_d_output.to(dtype)
        step = stop - 1 - back
        more = step > start
        following = _load_step(
            cell, kept, states, d_outputs, mask, step - 1, more, length, batch, rows, place, inside,
            num_kept, size, block_units, reverse,
        )  # fmt: skip
        d_inputs, d_gates, d_hidden, d_cell_state = backward_step(
            cell, variant, approximate, now_kept, state, d_output, d_hidden, d_cell_state, valid
        )
        t, _, _ = step_places(step, length, reverse)
        here = t * batch * gates * size
        deltas = stack(d_gates, gates)
        store_stack(d_recurrent + here, deltas, gates, rows, rows < batch, size, block_units)
        if cell == "gru":
            store_stack(d_projected + here, stack(d_inputs, gates), gates, rows, rows < batch, size, block_units)
        operand = deltas.to(weight.dtype.element_ty)
        if alone:
            product = tl.dot(weights[0], operand, input_precision=precision, out_dtype=dtype)
            # Triton would merge `d_hidden + product` into the product, which 3.8 can't compile for a B200
            d_hidden = d_hidden - (-product) * factors
        else:
            for k in tl.static_range(chunks):
                block = _load_transposed(weight, k, gates, size, each, block_units) if streamed else weights[k]
                part = tl.dot(block, operand, input_precision=precision, out_dtype=dtype)
                send_part(exchanged, part, back, k * each, padded, block_rows)
            wanted = more | (d_initial_hidden is not None)
            d_hidden += receive_sums(exchanged, back, wanted, padded, block_units, block_rows, dtype) * factors
    if d_initial_hidden is not None:
        tl.store(d_initial_hidden + place, d_hidden, mask=inside)
    if d_initial_cell_state is not None:
        tl.store(d_initial_cell_state + place, d_cell_state, mask=inside)


@triton.jit
def _find_parts(exchanged, back, padded: tl.constexpr, block_rows: tl.constexpr):
    """Return where the parts of the program's rows are in `exchanged`, and the last bit of those of step `back`."""
    place = ((back % 2) * tl.num_programs(1) + tl.program_id(1)) * tl.num_programs(0) * padded * block_rows
    return exchanged + place, 1 - (back // 2) % 2


@triton.jit
def send_part(exchanged, part, back, first, padded: tl.constexpr, block_rows: tl.constexpr):
    """Share this program's part of the sums of the units from `first` on, `(units, rows)`.

    `exchanged` holds the parts of two steps, `(2, groups of rows, programs, padded, rows)`. A step overwrites the parts
    of the step before last. All programs have read these by then, since none can be more than a step ahead. The last
    bit of a part tells whether it is new: it flips each time the part is written. So an infinite part may become NaN.
    """
    parts, new = _find_parts(exchanged, back, padded, block_rows)
    unit = tl.program_id(0) * padded + first + tl.arange(0, part.shape[0])
    bits = (part.to(exchanged.dtype.element_ty, bitcast=True) & -2) | new
    tl.store(parts + unit[:, None] * block_rows + tl.arange(0, block_rows)[None, :], bits)


@triton.jit
def receive_sums(
    exchanged, back, wanted, padded: tl.constexpr, block_units: tl.constexpr, block_rows: tl.constexpr,
    dtype: tl.constexpr,
):  # fmt: skip
    """Wait for the parts of all programs, and return the sums of this program's units, `(units, rows)`."""
    parts, new = _find_parts(exchanged, back, padded, block_rows)
    source, own = tl.arange(0, padded // block_units)[:, None], tl.arange(0, block_units * block_rows)[None, :]
    place = (source * padded + tl.program_id(0) * block_units) * block_rows + own
    inside = (source < tl.num_programs(0)) & wanted
    bits = tl.load(parts + place, mask=inside, other=0, volatile=True)
    while tl.max((inside & ((bits & 1) != new)).to(tl.int32)) > 0:
        bits = tl.load(parts + place, mask=inside, other=0, volatile=True)
    # from a block of three axes, Triton 3.6 would take a layout in which every thread has many units
    return tl.reshape(tl.sum(bits.to(dtype, bitcast=True), axis=0), (block_units, block_rows))


@triton.jit
def _load_gates(weight, units, gates: tl.constexpr, size: tl.constexpr, padded: tl.constexpr):
    """Load the weights of a program that is alone, `(units, padded)` for each gate."""
    hidden = tl.arange(0, padded)[None, :]
    inside = (units < size)[:, None] & (hidden < size)
    return load_several(weight, gates, units[:, None] * size + hidden, inside, size * size)


@triton.jit
def _load_chunk(
    weight, chunk, gates: tl.constexpr, size: tl.constexpr, each: tl.constexpr, block_units: tl.constexpr
):  # fmt: skip
    """Load the program's weights for a chunk of the hidden state, a stack `(slots · units, each)`.

    The few units of a single gate wouldn't fill the tensor cores. Chunks divide the sum over the hidden state, because
    a single long sum would be computed sequentially.
    """
    units, exist = stacked_units(gates, size, block_units)
    hidden = chunk * each + tl.arange(0, each)[None, :]
    return tl.load(weight + units[:, None] * size + hidden, mask=exist[:, None] & (hidden < size), other=0.0)


@triton.jit
def _load_transposed(
    weight, chunk, gates: tl.constexpr, size: tl.constexpr, each: tl.constexpr, block_units: tl.constexpr
):  # fmt: skip
    """Load the program's transposed weights for a chunk of the hidden state, `(each, slots · units)`.

    Weights of 16 bits come as they are, others transposed, see `launch.run_backward`.
    """
    units, exist = stacked_units(gates, size, block_units)
    hidden = chunk * each + tl.arange(0, each)[:, None]
    if weight.dtype.element_ty.primitive_bitwidth == 16:
        place = units[None, :] * size + hidden
    else:
        place = hidden * gates * size + units[None, :]
    return tl.load(weight + place, mask=exist[None, :] & (hidden < size), other=0.0)


@triton.jit
def _load_inputs(
    pointer, gates: tl.constexpr, alone: tl.constexpr, rows, batch, wanted, size: tl.constexpr,
    block_units: tl.constexpr,
):  # fmt: skip
    """Load the projected inputs of one step, in their stored type: a stack, or several blocks if together.

    Programs that are together have so few units of each gate that taking a stack apart would take longer.
    """
    if alone:
        return load_stack(pointer, gates, rows, (rows < batch) & wanted, size, block_units)
    else:
        units = tl.program_id(0) * block_units + tl.arange(0, block_units)
        inside = (units < size)[:, None] & ((rows < batch) & wanted)[None, :]
        return load_several(pointer, gates, rows[None, :] * gates * size + units[:, None], inside, size)


@triton.jit
def _forward_products(
    weight, weights, operand, alone: tl.constexpr, streamed: tl.constexpr, gates: tl.constexpr, size: tl.constexpr,
    each: tl.constexpr, block_units: tl.constexpr, chunks: tl.constexpr, precision: tl.constexpr, dtype: tl.constexpr,
):  # fmt: skip
    """Compute `W_hh hidden`, a block for each gate."""
    multiplied: tl.constexpr = weight.dtype.element_ty
    if alone:
        products = ()
        for k in tl.static_range(gates):
            product = tl.dot(weights[k], operand[0].to(multiplied), input_precision=precision, out_dtype=dtype)
            products = products + (product,)
        return products
    else:
        total = tl.zeros(((1 if gates == 1 else 4) * block_units, operand[0].shape[1]), dtype)
        for k in tl.static_range(chunks):
            block = _load_chunk(weight, k, gates, size, each, block_units) if streamed else weights[k]
            product = tl.dot(block, operand[k].to(multiplied), input_precision=precision, out_dtype=dtype)
            total = total - (-product)  # Triton would merge `total + product` into one long sum
        return unstack(total, gates)


@triton.jit
def _load_biases(bias, units, gates: tl.constexpr, size: tl.constexpr, dtype: tl.constexpr):
    """Load the GRU's `b_hh`, `(units, 1)` for each gate."""
    if bias is None:
        return ()
    else:
        return convert(load_several(bias, gates, units[:, None], (units < size)[:, None], size), gates, dtype)


@triton.jit
def _add_biases(recurrent, biases, given: tl.constexpr):
    if given:
        return recurrent[0] + biases[0], recurrent[1] + biases[1], recurrent[2] + biases[2]
    else:
        return recurrent


@triton.jit
def _load_step(
    cell: tl.constexpr, kept, states, d_outputs, mask, step, wanted, length, batch, rows, place, inside,
    num_kept: tl.constexpr, size: tl.constexpr, block_units: tl.constexpr, reverse: tl.constexpr,
):  # fmt: skip
    """Load what `backward_step` needs for a step, in the stored types: kept stack, state, d_output, valid rows."""
    t, last, now = step_places(step, length, reverse)
    inside = inside & wanted
    if num_kept == 0:
        kept_stack = ()
    else:
        here = kept + t * batch * num_kept * size
        kept_stack = load_stack(here, num_kept, rows, (rows < batch) & wanted, size, block_units)
    at = (now if cell == "rnn" else last) * batch * size
    state = tl.load(states + at + place, mask=inside, other=0.0)
    if d_outputs is None:
        d_output = tl.zeros(inside.shape, states.dtype.element_ty)
    else:
        d_output = tl.load(d_outputs + t * batch * size + place, mask=inside, other=0.0)
    return kept_stack, state, d_output, load_taken(mask, t, rows, batch, wanted)
