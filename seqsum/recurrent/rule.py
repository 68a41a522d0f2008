"""Which backend is the fastest on a GPU: what was measured there, and no guess.

`rules/` has a JSON file for each device that `python -m seqsum.benchmarks gpu` was run on; `rule.json`, which that
leaves, is such a file. A file says on which device, when, with which versions and by which command it was measured,
and then the time of each backend at some points:

    {"cell": "lstm", "type": "float32", "mode": "training", "batch": 128, "steps": 4, "hidden": 128,
     "ms": {"triton": 1.06, "bptt": 1.84}}

A device without a file of its name takes that of the nearest compute capability, a shape the nearest point of its
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

from seqsum.recurrent.cells import GRUCell, LSTMCell, RecurrentCell, RNNCell

RULES = Path(__file__).parent / "rules"
CELLS: dict[type[RecurrentCell], str] = {RNNCell: "rnn", LSTMCell: "lstm", GRUCell: "gru"}
Mode = Literal["training", "inference"]


class Point(NamedTuple):
    """What was measured at one shape.

    Attributes:
        cell: `rnn`, `lstm` or `gru`.
        type: Of weights and inputs, such as `float32`.
        mode: `training`, forward and backward, or `inference`, forward without gradients.
        batch, steps, hidden: `B`, `T`, `H`; None in a question where it isn't known.
        backends: Those that were measured, the fastest first.
    """

    cell: str
    type: str
    mode: Mode
    batch: int | None
    steps: int | None
    hidden: int
    backends: tuple[str, ...] = ()


class Rule(NamedTuple):
    """All that was measured on one device, such as `NVIDIA H100 80GB HBM3` of compute capability (9, 0)."""

    device: str
    capability: tuple[int, int]
    points: tuple[Point, ...]


def fastest_backends(cell: RecurrentCell, batch: int | None = None, steps: int | None = None) -> tuple[str, ...]:
    """Backends for a built-in cell on a GPU, the fastest first; none where nothing that applies was measured.

    The mode is `training` where gradients are enabled. A size that is not given counts for nothing.
    """
    name = CELLS.get(type(cell))  # a subclass may compute something else
    if name is None:
        return ()
    weight: torch.Tensor = cell.weight_hh  # type: ignore[assignment]  # all three have it
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
    """The rules of the package, in the order of their files' names."""
    return tuple(read_rule(path) for path in sorted(RULES.glob("*.json")))


def read_rule(path: Path) -> Rule:
    """A rule from its file."""
    found = json.loads(path.read_text())
    points = []
    for point in found["points"]:
        times = point.pop("ms")
        points.append(Point(**point, backends=tuple(sorted(times, key=times.__getitem__))))
    major, minor = found["capability"]
    return Rule(found["device"], (major, minor), tuple(points))


def find_rule(rules: Sequence[Rule], device: str, capability: tuple[int, int]) -> Rule | None:
    """That of the device's name, else of the nearest compute capability; None if there is no rule at all."""

    def distance(rule: Rule) -> tuple[bool, int]:
        major, minor = (theirs - ours for theirs, ours in zip(rule.capability, capability, strict=True))
        return rule.device != device, abs(10 * major + minor)  # 8.9 is next to 9.0

    return min(rules, key=distance, default=None)


def nearest(points: Sequence[Point], asked: Point) -> Point:
    """The point of the same cell, type and mode whose sizes are the nearest by their ratios; without one, `asked`."""

    def distance(point: Point) -> float:
        return sum(
            math.log(max(there, 1) / max(here, 1)) ** 2
            for there, here in ((point.batch, asked.batch), (point.steps, asked.steps), (point.hidden, asked.hidden))
            if there is not None and here is not None
        )

    return min((point for point in points if point[:3] == asked[:3]), key=distance, default=asked)
