"""Times every backend at some shapes, as a rule by which `auto` chooses on this device."""

from __future__ import annotations

import argparse
import datetime
import re
from typing import Any

import torch

from seqsum.benchmarks.gpu.budget import Deadline
from seqsum.benchmarks.gpu.contestants import MODES, Arena, Case, Contestant, Mode, can_run
from seqsum.benchmarks.gpu.kernels import MANY, compare
from seqsum.benchmarks.gpu.results import Results
from seqsum.benchmarks.recurrent import Shape
from seqsum.tables import machine

ROWS = "points"  # name of the list in the file
BACKENDS = ("triton", "bptt", "script")
SIZES = [  # B, T, H
    *((128, 4, 128), (64, 50, 512), (32, 100, 128), (16, 50, 1024), (1, 100, 256), (1024, 4, 32), (1024, 4, 128)),
]
SECONDS = 0.15  # for the timed rounds of a case in one mode; more if three rounds take longer
FEW = 3  # sizes for float16, which has the kernels of bfloat16
NAMES: dict[Mode, str] = {"forward": "inference", "both": "training"}


def cases() -> list[tuple[Case, str]]:
    """List cases and types in the order of `kernels.plan`."""
    sizes = {"float32": SIZES, "bfloat16": SIZES, "float16": SIZES[:FEW]}
    found = [
        (Case(cell, Shape(batch, steps, hidden, hidden)), name)
        for name in sizes
        for cell in ("lstm", "gru", "rnn")
        for batch, steps, hidden in sizes[name]
    ]
    return sorted(found, key=lambda each: each[0].shape.hidden > MANY)


def head_of_rule(device: torch.device, command: str) -> dict[str, Any]:
    """Return the head of a rule, which describes its origin."""
    found = machine(device)
    versions = {name: found[name] for name in ("python", "torch", "triton", "cuda", "cudnn") if name in found}
    return {
        "device": found["device"],
        "capability": found.get("capability", [0, 0]),  # a CPU has none
        "measured": datetime.date.today().isoformat(),
        "versions": versions,
        "command": command,
    }


def measure(options: argparse.Namespace, device: torch.device, results: Results, deadline: Deadline) -> None:
    """Add a point for each case, type and mode: the times of all backends that compute the right numbers."""
    for case, name in cases():
        if deadline.passed():
            results.leave_out(f"{case}, {name}")
            continue
        with results.noting(f"{case}, {name}"):
            arena = Arena(case, device)
            contestants = [c for c in (Contestant(what, name) for what in BACKENDS) if can_run(c, case.cell, device)]
            for mode in MODES:
                rows = compare(arena, mode, contestants, options, results, SECONDS)
                if times := {row["what"]: row["ms"] for row in rows if row["right"]}:
                    results.add(point(case, name, mode, times))
        print(f"{case}, {name}: done after {deadline.spent():.0f} s", flush=True)
    name = re.sub(r"\W+", "_", results.head["device"].lower())
    print(f"To let `auto` go by it: cp {results.path} seqsum/recurrent/rules/{name}.json", flush=True)


def point(case: Case, name: str, mode: Mode, times: dict[str, float]) -> dict[str, Any]:
    """Make a point of the rule, see `seqsum/recurrent/rule.py`."""
    sizes = {"batch": case.shape.batch, "steps": case.shape.steps, "hidden": case.shape.hidden}
    return {"cell": case.cell, "type": name, "mode": NAMES[mode], **sizes, "ms": times}
