"""Choose the fastest backend on a GPU from measurements.

`rules/` contains a JSON file for each device that was measured. `python -m seqsum.benchmarks gpu` writes such a file,
`rule.json`. It names the device, the date, the versions and the command, and lists the time of each backend at some
points:

    {"cell": "lstm", "type": "float32", "mode": "training", "batch": 128, "steps": 4, "hidden": 128,
     "ms": {"triton": 1.06, "bptt": 1.84}}

A device without a file uses the file with the nearest compute capability. A shape uses the nearest point with the same
cell, type and mode.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import torch

from seqsum.recurrent.cells import RecurrentCell
from seqsum.recurrent.kernels.written_for import NAMES

RULES = Path(__file__).parent / "rules"
Mode = Literal["training", "inference"]


class Point(NamedTuple):
    """A measurement at one shape, or the shape to look up.

    Attributes:
        cell: `rnn`, `lstm` or `gru`.
        type: Type of weights and inputs, such as `float32`.
        mode: `training`, forward and backward, or `inference`, forward without gradients.
        batch, steps, hidden: `B`, `T`, `H`; None if unknown in a look-up.
        backends: The measured backends, fastest first.
    """

    cell: str
    type: str
    mode: Mode
    batch: int | None
    steps: int | None
    hidden: int
    backends: tuple[str, ...] = ()


class Rule(NamedTuple):
    """The measurements on one device, such as `NVIDIA H100 80GB HBM3` of compute capability (9, 0)."""

    device: str
    capability: tuple[int, int]
    points: tuple[Point, ...]


def fastest_backends(cell: RecurrentCell, batch: int | None = None, steps: int | None = None) -> tuple[str, ...]:
    """Return the backends for a built-in cell on a GPU, fastest first; empty if no measurement applies.

    The mode is `training` where gradients are enabled. Sizes that are None are ignored.
    """
    name = NAMES.get(type(cell))  # a subclass may compute something else
    if name is None:
        return ()
    weight: torch.Tensor = cell.weight_hh  # type: ignore[assignment]  # all built-in cells have it
    device = weight.device
    if device.type != "cuda":
        return ()
    return _fastest(device, name, weight.dtype, torch.is_grad_enabled(), batch, steps, cell.hidden_size)


@lru_cache(maxsize=4096)
def _fastest(
    device: torch.device,
    cell: str,
    dtype: torch.dtype,
    training: bool,
    batch: int | None,
    steps: int | None,
    hidden: int,
) -> tuple[str, ...]:
    rule = find_rule(load_rules(), torch.cuda.get_device_name(device), torch.cuda.get_device_capability(device))
    mode: Mode = "training" if training else "inference"
    asked = Point(cell, str(dtype).removeprefix("torch."), mode, batch, steps, hidden)
    return nearest(rule.points, asked).backends if rule else ()


@cache
def load_rules() -> tuple[Rule, ...]:
    """Load the package's rules, sorted by file name."""
    return tuple(read_rule(path) for path in sorted(RULES.glob("*.json")))


def read_rule(path: Path) -> Rule:
    """Read a rule from its JSON file."""
    found = json.loads(path.read_text())
    points = []
    for point in found["points"]:
        times = point.pop("ms")
        points.append(Point(**point, backends=tuple(sorted(times, key=times.__getitem__))))
    major, minor = found["capability"]
    return Rule(found["device"], (major, minor), tuple(points))


def find_rule(rules: Sequence[Rule], device: str, capability: tuple[int, int]) -> Rule | None:
    """Find the device's rule, else the one with the nearest compute capability; None if there are no rules."""

    def distance(rule: Rule) -> tuple[bool, int]:
        major, minor = (theirs - ours for theirs, ours in zip(rule.capability, capability, strict=True))
        return rule.device != device, abs(10 * major + minor)  # 8.9 is next to 9.0

    return min(rules, key=distance, default=None)


def nearest(points: Sequence[Point], asked: Point) -> Point:
    """Find the point of the same cell, type and mode with the nearest sizes, by ratio; `asked` if there is none."""

    def distance(point: Point) -> float:
        return sum(
            math.log(max(there, 1) / max(here, 1)) ** 2
            for there, here in ((point.batch, asked.batch), (point.steps, asked.steps), (point.hidden, asked.hidden))
            if there is not None and here is not None
        )

    return min((point for point in points if point[:3] == asked[:3]), key=distance, default=asked)
