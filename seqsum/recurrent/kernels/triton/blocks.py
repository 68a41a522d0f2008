"""Blocks of tensors on their way to and from memory, and from one program to another.

A block has a unit in each row and a row of the batch in each column, `(units, rows)`: the recurrent weights are
then the first operand of the product and fill the tensor cores however few rows a program has.
"""

from __future__ import annotations

import triton
import triton.language as tl

ABSENT = tl.constexpr(-1)  # bits that mark what is not written yet: a NaN in every float type, which `share` avoids
CHUNK = tl.constexpr(64)  # steps of the mask to look at together


@triton.jit
def step_places(step, length, reverse: tl.constexpr):
    """In order of time: a step's index, and those of the states before and after it, of `T + 1`."""
    t = tl.cast(length - 1 - step if reverse else step, tl.int64)  # times a stride it may need more than 32 bits
    return t, t + 1 if reverse else t, t if reverse else t + 1


@triton.jit
def find_end(mask, rows, length, batch):
    """One more than the last step, `0 … T - 1`, that any of the rows has."""
    if mask is None:
        return length
    else:
        end = length * 0
        for first in range(0, length, CHUNK):
            times = first + tl.arange(0, CHUNK)
            inside = (times < length)[:, None] & (rows < batch)[None, :]
            taken = tl.load(mask + times.to(tl.int64)[:, None] * batch + rows[None, :], mask=inside, other=0)
            end = tl.maximum(end, tl.max(tl.where(taken != 0, times[:, None] + 1, 0)))
        return end


@triton.jit
def load(pointer, place, inside, dtype: tl.constexpr):
    """A block; zeros outside, and where there is no tensor."""
    if pointer is None:
        return tl.zeros(inside.shape, dtype)
    else:
        return tl.load(pointer + place, mask=inside, other=0.0).to(dtype)


@triton.jit
def load_several(pointer, number: tl.constexpr, place, inside, stride: tl.constexpr):
    """`number` blocks that lie `stride` apart, in the type they are stored in, zeros outside."""
    blocks = ()
    for k in tl.static_range(number):
        blocks = blocks + (tl.load(pointer + k * stride + place, mask=inside, other=0.0),)
    return blocks


@triton.jit
def store_several(pointer, number: tl.constexpr, place, inside, stride: tl.constexpr, blocks):
    """The inverse of `load_several`."""
    for k in tl.static_range(number):
        tl.store(pointer + k * stride + place, blocks[k], mask=inside)


@triton.jit
def convert(blocks, number: tl.constexpr, dtype: tl.constexpr):
    """Blocks in another type: what is loaded ahead, when it is used, since a conversion waits for the load."""
    converted = ()
    for k in tl.static_range(number):
        converted = converted + (blocks[k].to(dtype),)
    return converted


@triton.jit
def load_taken(mask, t, rows, batch, wanted):
    """Whether each row has step `t`, `(1, rows)`, as a number, not zero; all have, without a mask."""
    if mask is None:
        return (rows < batch).to(tl.uint8)[None, :]
    else:
        return tl.load(mask + t * batch + rows, mask=(rows < batch) & wanted, other=0)[None, :]


@triton.jit
def load_dropout(dropout, place, inside, dtype: tl.constexpr):
    """What the hidden state is multiplied by on its way to the gates."""
    if dropout is None:
        return 1.0
    else:
        return load(dropout, place, inside, dtype)


@triton.jit
def share(pointer, place, inside, values, dtype: tl.constexpr):
    """Store the bits of values in the given type, for other programs to `receive`."""
    bits = values.to(dtype).to(pointer.dtype.element_ty, bitcast=True)
    tl.store(pointer + place, tl.where(bits == ABSENT, ABSENT - 1, bits), mask=inside)


@triton.jit
def receive(
    pointer, rows, batch, wanted, number: tl.constexpr, each: tl.constexpr, size: tl.constexpr, dtype: tl.constexpr
):
    """All units of rows that other programs `share`, as soon as they all have: `number` blocks `(each, rows)`.

    Each value tells by itself whether it has been written. So there is no counter to wait at, and no barrier between
    the values and the counter, which would take as long again as the values do on their way through the L2 cache.
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
