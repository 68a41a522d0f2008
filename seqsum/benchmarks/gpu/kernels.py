"""Every kernel against cuDNN in its best precision: forward, forward and backward, and variable lengths."""

from __future__ import annotations

import argparse
import itertools
import math
from functools import partial
from typing import Any, NamedTuple

import torch

from seqsum.benchmarks.gpu.budget import Deadline
from seqsum.benchmarks.gpu.contestants import (
    MODES,
    PRECISIONS,
    TORCH,
    Arena,
    Case,
    Contestant,
    Lengths,
    Mode,
    can_run,
    error_of,
    run,
    time_calls,
)
from seqsum.benchmarks.gpu.replay import replay_seconds
from seqsum.benchmarks.gpu.results import Results
from seqsum.benchmarks.recurrent import Call, Shape
from seqsum.benchmarks.timing import Timing

SHAPES = [
    Shape(128, 4, 128, 128),
    Shape(128, 28, 28, 128),
    Shape(32, 200, 64, 128),
    Shape(64, 200, 64, 64),
    Shape(64, 100, 256, 256),
    Shape(64, 100, 512, 512),
    Shape(16, 1024, 768, 768),
    Shape(16, 1024, 1024, 1024),
]
OTHER_CELLS = [shape for shape in SHAPES if shape.steps != 28 and shape.hidden not in (64, 768)]
VARIABLE = [Shape(64, 50, 128, 128), Shape(64, 200, 64, 64)]
LENGTHS: tuple[Lengths, ...] = ("unsorted", "sorted")
MANY = 128  # units; more than these are many, and several programs share them
LONGEST_LOOP = 300  # most steps for `script` and `bptt`, which launch kernels at every step and would take too long
SECONDS = 0.4  # for the timed rounds of a case in one mode; more if three rounds take longer


class Entry(NamedTuple):
    """A case with its contestants; `replayed` if they are also timed as CUDA graphs."""

    case: Case
    contestants: list[Contestant]
    replayed: bool = False


def plan() -> list[Entry]:
    """List all measurements, the most important first, because the time may not suffice for all.

    Those with many units come last, because their programs wait for each other, and one that hangs ends the part. In
    float32, programs of 128 units do so too.
    """
    cudnn = [Contestant(TORCH, precision) for precision in PRECISIONS]
    triton = [Contestant("triton", precision) for precision in PRECISIONS]
    entries = []
    for shape in SHAPES:
        plain = [Contestant(what, "float32") for what in ("bptt", "script") if shape.steps <= LONGEST_LOOP]
        entries.append(Entry(Case("lstm", shape), [*cudnn, *triton, *plain], replayed=True))
    for shape, lengths in itertools.product(VARIABLE, LENGTHS):
        entries.append(Entry(Case("lstm", shape, lengths), [*cudnn, *triton, Contestant("bptt", "float32")]))
    for shape, cell in itertools.product(OTHER_CELLS, ("gru", "rnn")):
        entries.append(Entry(Case(cell, shape), [*cudnn, *(c for c in triton if c.precision != "tf32")]))
    return sorted(entries, key=lambda entry: entry.case.shape.hidden > MANY)


def measure(options: argparse.Namespace, device: torch.device, results: Results, deadline: Deadline) -> None:
    """Add a row for each case, mode and contestant.

    Contestants take turns, as in all benchmarks. `replay` is the time of the same call as a CUDA graph, without the
    host; `error` is the largest `difference` of a result from torch.nn in float64.
    """
    for entry in plan():
        if deadline.passed():
            results.leave_out(str(entry.case))
            continue
        replayed = entry.replayed and device.type == "cuda"
        with results.noting(str(entry.case)):
            contestants = [c for c in entry.contestants if can_run(c, entry.case.cell, device)]
            arena = Arena(entry.case, device)
            for mode in MODES:
                for row in compare(arena, mode, contestants, options, results, SECONDS):
                    results.add(row | (_replayed(arena, mode, row, results) if replayed else {}))
        print(f"{entry.case}: done after {deadline.spent():.0f} s", flush=True)


def compare(
    arena: Arena,
    mode: Mode,
    contestants: list[Contestant],
    options: argparse.Namespace,
    results: Results,
    seconds: float,
) -> list[dict[str, Any]]:
    """Check the numbers of all contestants, then time them for some seconds; note and drop those that fail."""
    exact = arena.exact(mode)
    calls: dict[Contestant, Call] = {}
    errors: dict[Contestant, tuple[float, bool]] = {}
    for contestant in contestants:
        with results.noting(f"{arena.case}, {mode}: {contestant}"):
            call = arena.call(contestant, mode)
            errors[contestant] = error_of(contestant, call, exact)
            calls[contestant] = call
    timings = time_calls(calls, arena.device, options.rounds, options.warm_up, seconds)
    return [describe(arena.case, mode, contestant, *errors[contestant], timings[contestant]) for contestant in timings]


def describe(
    case: Case, mode: Mode, contestant: Contestant, error: float, right: bool, timing: Timing
) -> dict[str, Any]:
    """Make a row: who computed what, the error, and the milliseconds."""
    shape = dict(zip("BTFH", case.shape, strict=True))
    who = {"cell": case.cell, **shape, "lengths": case.lengths, "mode": mode}
    who |= {"what": contestant.what, "precision": contestant.precision}
    times = {"ms": timing.median, "lower": timing.lower_quartile, "upper": timing.upper_quartile}
    times = {name: float(f"{1000 * seconds:.4g}") for name, seconds in times.items()}
    return {
        **who,
        **times,
        "rounds": timing.n,
        "error": float(f"{error:.2g}") if math.isfinite(error) else None,
        "right": right,
    }


def _replayed(arena: Arena, mode: Mode, row: dict[str, Any], results: Results) -> dict[str, Any]:
    """Time the same call as a CUDA graph, in milliseconds, for torch.nn and Triton; None if it can't be captured."""
    if row["what"] not in (TORCH, "triton"):
        return {}
    contestant = Contestant(row["what"], row["precision"])
    found: dict[str, float | None] = {"replay": None}
    with results.noting(f"{arena.case}, {mode}: {contestant} as a CUDA graph"):
        call = partial(run, contestant, arena.call(contestant, mode))
        seconds = replay_seconds(call, arena.device, row["ms"] / 1000)
        found["replay"] = float(f"{1000 * seconds:.4g}")
    return found
