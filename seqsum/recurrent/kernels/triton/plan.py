"""Plan how to divide a kernel's work among programs."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import product
from typing import Literal, NamedTuple

from seqsum.recurrent.kernels.triton.equations import NUM_GATES

Way = Literal["forward", "backward"]

CHUNK = 128  # units that are summed one after another; chunks are summed in parallel
BLOCKS = (64, 128)  # rows of a block of weights: units per program, times slots for the gates
ROWS = (8, 16)  # rows of the batch per program: the fewer, the faster a step
STREAMED_ROWS = (8, 16, 32)
MOST_GROUPS = 65_535  # programs along the second axis of a CUDA grid


class Plan(NamedTuple):
    """How a persistent kernel runs.

    Attributes:
        padded: Number of units `H`, rounded up to a power of two.
        units, rows: Units and rows of the batch per program.
        groups: Launch grid: number of programs among which the units are divided, and the rows.
        warps: Warps per program.
        alone: Whether a program has all units.
        chunk: Units that are summed one after another; all if `alone`. Backwards at least `units`: a program waits for
            the parts of all its units, also of those beyond `H`.
        streamed: Whether a program reads its weights again in each step, because they don't fit on its multiprocessor.
    """

    padded: int
    units: int
    rows: int
    groups: tuple[int, int]
    warps: int
    alone: bool
    chunk: int
    streamed: bool = False


class Device(NamedTuple):
    """Properties of a GPU: number of multiprocessors, and bytes of shared memory that a program may use."""

    multiprocessors: int
    shared_memory: int


@lru_cache(maxsize=1024)
def plan(cell: str, way: Way, size: int, batch: int, width: int, device: Device) -> Plan | None:
    """Plan a cell of `size` units with weights of `width` bytes each; None if each step needs its own launches."""
    padded = max(16, 1 << (size - 1).bit_length())
    slots = 1 if NUM_GATES[cell] == 1 else 4
    on_chip = 1 << (device.shared_memory * 7 // 8).bit_length() - 1  # bytes for weights; the rest is for other data
    if slots * padded**2 * width <= on_chip and batch <= ROWS[-1] * MOST_GROUPS:
        rows = next((rows for rows in ROWS if batch <= rows * device.multiprocessors), ROWS[-1])
        warps = 4 if rows == ROWS[0] and padded * width <= (256 if way == "forward" else 128) else 8
        return Plan(padded, padded, rows, (1, -(-batch // rows)), warps, True, padded)
    # whether streamed, rows, block: the fewest rows first; if weights are read in each step, the fewest weights first
    choices = [(False, rows, block) for rows, block in product(ROWS, BLOCKS)]
    choices += [(True, r, b) for b, r in product(BLOCKS, STREAMED_ROWS) if not _spills(way, padded, b, r, width)]
    for is_streamed, rows, block in choices:
        units = block // slots
        groups = -(-size // units), -(-batch // rows)
        if (is_streamed or slots * units * padded * width <= on_chip) and math.prod(groups) <= device.multiprocessors:
            warps = 8 if is_streamed or (way == "backward" and units * padded > 8192) else 4
            chunk = CHUNK // 2 if is_streamed and width == 8 and way == "forward" else CHUNK  # or registers spill
            return Plan(padded, units, rows, groups, warps, False, min(chunk, padded), is_streamed)
    return None


def _spills(way: Way, padded: int, block: int, rows: int, width: int) -> bool:
    """Whether a program that reads its weights in each step would need far more registers than there are."""
    received = padded * rows  # numbers from the other programs in each step
    operand = block * rows * width if way == "backward" else 0  # bytes of all gates' gradients, in every warp
    return received > 16384 or operand > 8192 or (padded > 1024 and block > BLOCKS[0])
