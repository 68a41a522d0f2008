"""How a kernel's work is cut into programs."""

from __future__ import annotations

import math
from itertools import product
from typing import Literal, NamedTuple

from seqsum.recurrent.kernels.triton.equations import NUM_GATES

Way = Literal["forward", "backward"]

CHUNK = 128  # units that are summed over one after another, while other chunks are too
MOST_BACKWARD = 512  # units: with more, weights on their way to the product spill registers, and a step takes 150 µs
ROWS = (8, 16)  # of the batch, to a program: the fewer, the shorter a step


class Plan(NamedTuple):
    """How a persistent kernel runs.

    Attributes:
        padded: Units `H`, rounded up to a power of two.
        units, rows: Of a program.
        groups: Programs that share the units, and groups of them that share the rows of one launch.
        warps: Of a program.
        alone: Whether a program has all units.
        chunks: In which sums over the units are cut where it hasn't.
    """

    padded: int
    units: int
    rows: int
    groups: tuple[int, int]
    warps: int
    alone: bool
    chunks: int = 1


class Device(NamedTuple):
    """What a plan needs to know of a GPU: its multiprocessors, and bytes of shared memory that a program may have."""

    multiprocessors: int
    shared_memory: int


def plan(cell: str, way: Way, size: int, batch: int, width: int, device: Device) -> Plan | None:
    """The plan for a cell of `size` units with weights of `width` bytes; None where it takes a launch for each step."""
    padded = max(16, 1 << (size - 1).bit_length())
    slots = 1 if NUM_GATES[cell] == 1 else 4
    on_chip = 1 << (device.shared_memory * 7 // 8).bit_length() - 1  # bytes of weights; the rest needs room too
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
