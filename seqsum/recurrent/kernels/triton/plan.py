"""Plan how to divide a kernel's work among programs."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import product
from typing import Literal, NamedTuple

from seqsum.recurrent.kernels.triton.equations import NUM_GATES

Way = Literal["forward", "backward"]

CHUNK = 128  # units that are summed one after another; chunks are summed in parallel
MOST_BACKWARD = 512  # units: with more, loading the weights for a product spills registers, and a step takes 150 µs
ROWS = (8, 16)  # rows of the batch per program: the fewer, the faster a step


class Plan(NamedTuple):
    """How a persistent kernel runs.

    Attributes:
        padded: Number of units `H`, rounded up to a power of two.
        units, rows: Units and rows of the batch per program.
        groups: Launch grid: number of programs among which the units are divided, and the rows.
        warps: Warps per program.
        alone: Whether a program has all units.
        chunks: Number of chunks into which sums over the units are divided; 1 if `alone`.
    """

    padded: int
    units: int
    rows: int
    groups: tuple[int, int]
    warps: int
    alone: bool
    chunks: int = 1


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
    if NUM_GATES[cell] * padded**2 * width <= on_chip:
        rows = next((rows for rows in ROWS if batch <= rows * device.multiprocessors), ROWS[-1])
        warps = 4 if rows == ROWS[0] and padded * width <= 256 else 8
        return Plan(padded, padded, rows, (1, -(-batch // rows)), warps, alone=True)
    if way == "backward" and padded > MOST_BACKWARD:
        return None
    for rows, units in product(ROWS, (64 // slots, 128 // slots)):
        groups = -(-size // units), -(-batch // rows)
        if slots * units * padded * width <= on_chip and math.prod(groups) <= device.multiprocessors:
            warps = 8 if way == "backward" and units * padded > 8192 else 4
            return Plan(padded, units, rows, groups, warps, False, max(1, padded // CHUNK))
    return None
