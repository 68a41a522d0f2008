"""Load and store blocks of tensors, and exchange them between programs.

A block has units along its first axis and rows of the batch along its second, `(units, rows)`. So the recurrent weights
are the first operand of a product, and fill the tensor cores even if a program has few rows.

A stack is a block that contains a block for each gate, `(slots · units, rows)`. The number of slots is a power of two,
for Triton: one, or four for three or four gates. Whatever a program loads or stores passes through shared memory, to
and from the layout of the products, with two barriers each time. So in every step, one stack takes less time than its
blocks.
"""

from __future__ import annotations

import triton
import triton.language as tl

ABSENT = tl.constexpr(-1)  # bits of a value not yet written: a NaN in every float type; `share` avoids them
TIMES = tl.constexpr(64)  # steps of the mask to load at once


@triton.jit
def step_places(step, length, reverse: tl.constexpr):
    """Return the time of the `step`-th step to run, and the indices of the states before and after it, of `T + 1`."""
    t = tl.cast(length - 1 - step if reverse else step, tl.int64)  # an offset may need more than 32 bits
    return t, t + 1 if reverse else t, t if reverse else t + 1


@triton.jit
def find_end(mask, rows, length, batch):
    """Return the last time at which any of the rows is valid, plus one."""
    if mask is None:
        return length
    else:
        end = length * 0
        for first in range(0, length, TIMES):
            times = first + tl.arange(0, TIMES)
            inside = (times < length)[:, None] & (rows < batch)[None, :]
            taken = tl.load(mask + times.to(tl.int64)[:, None] * batch + rows[None, :], mask=inside, other=0)
            end = tl.maximum(end, tl.max(tl.where(taken != 0, times[:, None] + 1, 0)))
        return end


@triton.jit
def load(pointer, place, inside, dtype: tl.constexpr):
    """Load a block, with zeros outside of the tensor; all zeros if there is no tensor."""
    if pointer is None:
        return tl.zeros(inside.shape, dtype)
    else:
        return tl.load(pointer + place, mask=inside, other=0.0).to(dtype)


@triton.jit
def load_several(pointer, number: tl.constexpr, place, inside, stride: tl.constexpr):
    """Load `number` blocks, `stride` apart, in their stored type, with zeros outside of the tensor."""
    blocks = ()
    for k in tl.static_range(number):
        blocks = blocks + (tl.load(pointer + k * stride + place, mask=inside, other=0.0),)
    return blocks


@triton.jit
def store_several(pointer, number: tl.constexpr, place, inside, stride: tl.constexpr, blocks):
    """Store `number` blocks, `stride` apart."""
    for k in tl.static_range(number):
        tl.store(pointer + k * stride + place, blocks[k], mask=inside)


@triton.jit
def convert(blocks, number: tl.constexpr, dtype: tl.constexpr):
    """Convert blocks to another type. Do so only when they are used: converting waits for the load to finish."""
    converted = ()
    for k in tl.static_range(number):
        converted = converted + (blocks[k].to(dtype),)
    return converted


@triton.jit
def stacked_units(gates: tl.constexpr, size: tl.constexpr, block_units: tl.constexpr):
    """Return where the program's units are among all units of all gates, `(slots · units,)`, and which exist."""
    slots: tl.constexpr = 1 if gates == 1 else 4
    row = tl.arange(0, slots * block_units)
    gate, unit = row // block_units, tl.program_id(0) * block_units + row % block_units
    return gate * size + unit, (gate < gates) & (unit < size)


@triton.jit
def stack(blocks, gates: tl.constexpr):
    """Stack one, three or four blocks."""
    if gates == 1:
        return blocks[0]
    else:
        last = blocks[3] if gates == 4 else blocks[2]  # the third again, which is not stored, and multiplied by zeros
        even, odd = tl.join(blocks[0], blocks[2]), tl.join(blocks[1], last)
        pairs = tl.permute(tl.join(even, odd), (2, 3, 0, 1))
        return tl.reshape(pairs, (4 * blocks[0].shape[0], blocks[0].shape[1]))


@triton.jit
def unstack(block, gates: tl.constexpr):
    """Return the blocks of a stack, four for three gates."""
    if gates == 1:
        return (block,)
    else:
        pairs = tl.permute(tl.reshape(block, (2, 2, block.shape[0] // 4, block.shape[1])), (2, 3, 0, 1))
        even, odd = tl.split(pairs)
        first, third = tl.split(even)
        second, fourth = tl.split(odd)
        return first, second, third, fourth


@triton.jit
def load_stack(pointer, gates: tl.constexpr, rows, existing, size: tl.constexpr, block_units: tl.constexpr):
    """Load the values of one step, `(B, gates · H)`, in their stored type, with zeros for rows that don't exist."""
    units, exist = stacked_units(gates, size, block_units)
    place = rows[None, :] * gates * size + units[:, None]
    return tl.load(pointer + place, mask=exist[:, None] & existing[None, :], other=0.0)


@triton.jit
def store_stack(pointer, values, gates: tl.constexpr, rows, existing, size: tl.constexpr, block_units: tl.constexpr):
    """Store the values of one step, a stack or the same number for all, to `(B, gates · H)`."""
    units, exist = stacked_units(gates, size, block_units)
    place = rows[None, :] * gates * size + units[:, None]
    tl.store(pointer + place, values, mask=exist[:, None] & existing[None, :])


@triton.jit
def load_taken(mask, t, rows, batch, wanted):
    """Load the mask at time `t`, `(1, rows)`, as numbers, nonzero for valid rows; without a mask all rows are valid."""
    if mask is None:
        return (rows < batch).to(tl.uint8)[None, :]
    else:
        return tl.load(mask + t * batch + rows, mask=(rows < batch) & wanted, other=0)[None, :]


@triton.jit
def load_dropout(dropout, place, inside, dtype: tl.constexpr):
    """Load the dropout mask for the hidden state that the gates read; 1 without dropout."""
    if dropout is None:
        return 1.0
    else:
        return load(dropout, place, inside, dtype)


@triton.jit
def share(pointer, place, inside, values, dtype: tl.constexpr):
    """Store values, as bits of the given type, for other programs to `receive`."""
    bits = values.to(dtype).to(pointer.dtype.element_ty, bitcast=True)
    tl.store(pointer + place, tl.where(bits == ABSENT, ABSENT - 1, bits), mask=inside)


@triton.jit
def receive(
    pointer, rows, batch, wanted, number: tl.constexpr, each: tl.constexpr, size: tl.constexpr, dtype: tl.constexpr
):
    """Wait until all programs have called `share` for these rows, and load all units: `number` blocks `(each, rows)`.

    Each value shows by itself whether it was written. So no counter is needed, nor a barrier between values and
    counter, which would take as long again as the values take through the L2 cache.
    """
    bits = _load_bits(pointer, rows, batch, wanted, number, each, size)
    while _any_absent(bits, number):
        bits = _load_bits(pointer, rows, batch, wanted, number, each, size)
    blocks = ()
    for k in tl.static_range(number):
        blocks = blocks + (bits[k].to(dtype, bitcast=True),)
    return blocks


@triton.jit
def _load_bits(pointer, rows, batch, wanted, number: tl.constexpr, each: tl.constexpr, size: tl.constexpr):
    blocks = ()
    for k in tl.static_range(number):
        units = k * each + tl.arange(0, each)
        inside = (units < size)[:, None] & ((rows < batch) & wanted)[None, :]
        place = rows[None, :] * size + units[:, None]
        blocks = blocks + (tl.load(pointer + place, mask=inside, other=0, volatile=True),)
    return blocks


@triton.jit
def _any_absent(bits, number: tl.constexpr):
    absent = bits[0] == ABSENT
    for k in tl.static_range(1, number):
        absent |= bits[k] == ABSENT
    return tl.max(absent.to(tl.int32)) > 0
