"""The parts in turn, each in a process of its own: what hangs or breaks the device takes no other part with it."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

from seqsum.benchmarks.gpu import ahead, checks, kernels, rule, step
from seqsum.benchmarks.gpu.budget import Deadline, share
from seqsum.benchmarks.gpu.results import Results, head_of
from seqsum.benchmarks.gpu.tables import tables
from seqsum.errors import InputError

Measure = Callable[[argparse.Namespace, torch.device, Results, Deadline], None]
PARTS: dict[str, Measure] = {
    "tests": checks.measure,
    "kernels": kernels.measure,
    "rule": rule.measure,
    "step": step.measure,
}
WEIGHTS = {"tests": 60.0, "kernels": 65.0, "rule": 40.0, "step": 55.0}  # seconds of the default
AHEAD = 75.0  # seconds for compiling ahead, which begins with the tests
GRACE = 20.0  # seconds for imports, and for a measurement that had begun when the time was up


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--output", type=Path, default=Path("logs/benchmarks/gpu"), help="folder of the JSON files")
    parser.add_argument("--data-root", default="data", help="where MNIST is; otherwise rendered digits")
    parser.add_argument("--parts", type=parts_from, default=list(PARTS), help=f"default: {','.join(PARTS)}")
    parser.add_argument("--seconds", type=float, default=sum(WEIGHTS.values()), help="for all parts together")
    parser.add_argument("--rounds", type=int, default=20, help="timed calls of each contestant at most")
    parser.add_argument("--warm-up", type=int, default=3, help="calls of each before that, not timed")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tables", action="store_true", help="measure nothing: print the files as Markdown")
    parser.add_argument("--here", action="store_true", help="run the parts in this process")
    parser.add_argument("--told", action="store_true", help="wait for the number of seconds on standard input")


def parts_from(text: str) -> list[str]:
    """`tests,kernels` as a list, in the order in which they run."""
    if unknown := set(text.split(",")) - PARTS.keys():
        raise argparse.ArgumentTypeError(f"{sorted(unknown)[0]!r} is none of {','.join(PARTS)}")
    return [part for part in PARTS if part in text.split(",")]


def run(options: argparse.Namespace) -> int:
    """Measure the parts, and print the tables; the exit status is 1 if a test or anything else failed.

    Raises:
        InputError: There is nothing in the folder to make tables of.
    """
    device = torch.device(options.device)
    if options.here:
        return run_here(options, device, Deadline(float(sys.stdin.readline()) if options.told else options.seconds))
    status = 0 if options.tables else run_apart(options, device, Deadline(options.seconds))
    if not (text := tables(options.output)):
        raise InputError(f"`--output` (={options.output}) has no files of this benchmark")
    print(text)
    return status


def run_here(options: argparse.Namespace, device: torch.device, deadline: Deadline) -> int:
    """All parts in this process; 1 if a test or anything else failed, which the files tell."""
    status = 0
    for number, part in enumerate(options.parts):
        command = f"python -m seqsum.benchmarks gpu --parts {part} --rounds {options.rounds}"
        head = rule.head_of_rule(device, command) if part == "rule" else head_of(device, command)
        results = Results(options.output / f"{part}.json", head, rule.ROWS if part == "rule" else "rows")
        seconds = share(deadline.left(), part, options.parts[number + 1 :], WEIGHTS)
        with results.noting(part):
            PARTS[part](options, device, results, Deadline(seconds))
            results.finish()
        failed = any(row.get("failed") or row.get("errors") for row in results.rows)
        status |= int(failed or bool(results.errors) or not results.finished)
    return status


def run_apart(options: argparse.Namespace, device: torch.device, deadline: Deadline) -> int:
    """Each part in a process of its own, which starts at once and waits for its turn; 1 if one of them gives that.

    Kernels are compiled ahead beside the tests.
    """
    status = 0
    children = {part: Child(part, options) for part in options.parts}
    work = ahead.tasks(options.parts, device) if device.type == "cuda" else []
    pool = ahead.Pool(work, device, Deadline(AHEAD)) if work else None
    try:
        for number, part in enumerate(options.parts):
            if pool is not None and part != "tests":
                print(f"{pool.finish()} after {deadline.spent():.0f} s", flush=True)
                pool = None
            status |= children[part].run(share(deadline.left(), part, options.parts[number + 1 :], WEIGHTS))
    finally:
        for child in children.values():
            child.end()
        if pool is not None:
            pool.finish()
    return status


class Child:
    """A part in a process, with all that it starts: it imports what it needs, and waits.

    Args:
        part: Which.
        options: Of the whole command.
    """

    def __init__(self, part: str, options: argparse.Namespace) -> None:
        self.part = part
        command = [
            *(sys.executable, "-m", "seqsum.benchmarks", "gpu", "--here", "--told", f"--parts={part}"),
            *(f"--output={options.output}", f"--data-root={options.data_root}", f"--device={options.device}"),
            *(f"--rounds={options.rounds}", f"--warm-up={options.warm_up}"),
        ]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, start_new_session=True)

    def run(self, seconds: float) -> int:
        """Let it go on, for so many seconds; 1 unless it ends well and in time."""
        print(f"{self.part}: {seconds:.0f} s", flush=True)
        try:
            self.process.communicate(f"{seconds}\n", timeout=seconds + GRACE)
        except subprocess.TimeoutExpired:
            print(f"{self.part} was stopped: it took longer than {seconds + GRACE:.0f} s", flush=True)
            return 1
        return int(self.process.returncode != 0)

    def end(self) -> None:
        """Whatever it is doing, and whatever it has started."""
        with suppress(ProcessLookupError):  # all of them have ended
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()  # which also closes the pipe
