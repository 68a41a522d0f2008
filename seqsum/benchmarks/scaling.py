"""Time and memory of a layer by steps, batch size and units, with fitted exponents; training speed by devices."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import Any, get_args

import torch

from seqsum.benchmarks import devices
from seqsum.benchmarks.recurrent import CELLS, RIVAL, Shape, contestants, default_backends
from seqsum.benchmarks.timing import peak_memory, row, time_in_turn
from seqsum.options import at_least
from seqsum.recurrent.backends import Backend

BASE = Shape(64, 32, 64, 64)
FACTORS = (1, 2, 4, 8)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=["lstm"])
    parser.add_argument(
        "--backends",
        nargs="+",
        choices=get_args(Backend),
        help="seqsum's backends; default: all for cell and device but eager",
    )
    parser.add_argument(
        "--factors", nargs="+", action=at_least(1), default=list(FACTORS), help="multiples of each size"
    )
    devices.add_arguments(parser)


def run(arguments: argparse.Namespace, device: torch.device) -> list[dict[str, Any]]:
    """Measure forward and backward, raising one size at a time: a row for each size and contestant, with exponents.

    An exponent of 1 means that time (or memory) is proportional to the size. It is the slope of a straight line
    through the logarithms, so fixed costs, which dominate at small sizes, lower it. The rows of `devices` follow.
    """
    rows = []
    for cell in arguments.cells:
        for axis, changed in (("T", ("steps",)), ("B", ("batch",)), ("H", ("hidden", "features"))):
            rows += _along(cell, axis, changed, arguments, device)
    return rows + devices.run(arguments, device)


def _along(
    cell: str, axis: str, changed: tuple[str, ...], arguments: argparse.Namespace, device: torch.device
) -> list[dict[str, Any]]:
    found = []
    backends = arguments.backends or default_backends(cell, torch.float32, device)[1:]
    for factor in arguments.factors:
        shape = BASE._replace(**{name: factor * getattr(BASE, name) for name in changed})
        calls = contestants(cell, shape, "both", torch.float32, backends, device)
        for name, timing in time_in_turn(calls, RIVAL, arguments.rounds, arguments.warm_up, device).items():
            size = getattr(shape, changed[0])
            found.append(
                {"cell": cell, "what": name, "axis": axis, "size": size, **row(timing)}
                | {"MB": peak_memory(calls[name], device) / 1e6}
            )
    for entry in found:
        same = [other for other in found if other["what"] == entry["what"]]
        sizes = [other["size"] for other in same]
        entry["time ~ size^"] = round(exponent(sizes, [other["ms"] for other in same]), 2)
        entry["memory ~ size^"] = round(exponent(sizes, [other["MB"] for other in same]), 2)
    return found


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Fit the least-squares slope of log(value) against log(size); NaN for a single size."""
    x, y = [math.log(size) for size in sizes], [math.log(value) for value in values]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((a - mean_x) ** 2 for a in x)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread if spread else math.nan
