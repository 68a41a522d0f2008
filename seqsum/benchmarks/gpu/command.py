"""Runs the parts in turn, each in its own process, so that a hang or a broken device affects no other part."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

from seqsum.benchmarks.gpu import ahead, checks, kernels, rule, step
from seqsum.benchmarks.gpu.budget import Deadline, share
from seqsum.benchmarks.gpu.results import Results, head_of
from seqsum.benchmarks.gpu.tables import tables
from seqsum.errors import InputError
from seqsum.options import at_least, device_named

Measure = Callable[[argparse.Namespace, torch.device, Results, Deadline], None]
PARTS: dict[str, Measure] = {
    "tests": checks.measure,
    "kernels": kernels.measure,
    "rule": rule.measure,
    "step": step.measure,
}
WEIGHTS = {"tests": 60.0, "kernels": 65.0, "rule": 40.0, "step": 55.0}  # default seconds of each part
AHEAD = 75.0  # seconds for compiling in advance, which starts with the tests
GRACE = 30.0  # seconds for imports, and to finish a measurement, or the tests' report, when the time is up


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--output", type=Path, default=Path("logs/benchmarks/gpu"), help="folder of the JSON files")
    parser.add_argument("--data-root", default="data", help="where MNIST is; otherwise rendered digits")
    parser.add_argument("--parts", type=parts_from, default=list(PARTS), help=f"default: {','.join(PARTS)}")
    parser.add_argument(
        "--seconds", action=at_least(0), type=float, default=sum(WEIGHTS.values()), help="time for all parts together"
    )
    parser.add_argument("--rounds", action=at_least(1), default=20, help="timed calls of each contestant at most")
    parser.add_argument("--warm-up", action=at_least(0), default=3, help="untimed calls of each contestant before that")
    parser.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu", help="default: the GPU, or cpu without one"
    )
    parser.add_argument("--tables", action="store_true", help="measure nothing: print the files as Markdown")
    parser.add_argument("--here", action="store_true", help="run the parts in this process")
    parser.add_argument("--told", action="store_true", help="wait for the end, a `time.monotonic()`, on standard input")


def parts_from(text: str) -> list[str]:
    """Parse a list such as `tests,kernels`; return the parts in the order in which they run."""
    if unknown := set(text.split(",")) - PARTS.keys():
        raise argparse.ArgumentTypeError(f"{sorted(unknown)[0]!r} is none of {','.join(PARTS)}")
    return [part for part in PARTS if part in text.split(",")]


def run(options: argparse.Namespace) -> int:
    """Measure the parts and print the tables; return exit status 1 if a test or anything else failed.

    Raises:
        InputError: The folder has no files of this benchmark.
    """
    device = device_named(options.device)  # each part says itself if it can't be used
    if options.here:
        seconds = options.seconds
        if options.told:
            if not (end := sys.stdin.readline()):
                return 1  # whoever was to tell it has been killed
            seconds = float(end) - time.monotonic()  # less for a process that was still importing when it was told
        return run_here(options, device, Deadline(seconds))
    if device.type == "cpu" and not options.tables:
        print("There is no GPU: this measures the processor, which shows that the command works, and no more")
    status = 0 if options.tables else run_apart(options, device, Deadline(options.seconds))
    if not (text := tables(options.output)):
        raise InputError(f"`--output` (={options.output}) has no files of this benchmark")
    print(text)
    return status


def run_here(options: argparse.Namespace, device: torch.device, deadline: Deadline) -> int:
    """Run all parts in this process; return 1 if a test or anything else failed, as noted in the files."""
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
    """Run each part in its own process, which starts at once and waits for its turn; return 1 if any part failed.

    Kernels are compiled in advance beside the tests. SIGTERM, as of a job whose time is up, ends all processes too.
    """
    status = 0
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    children: dict[str, Child] = {}
    pool = None
    try:
        children.update((part, Child(part, options)) for part in options.parts)
        work = ahead.tasks(options.parts, device) if device.type == "cuda" else []
        pool = ahead.Pool(work, device, Deadline(AHEAD)) if work else None
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
        signal.signal(signal.SIGTERM, before)
    return status


class Child:
    """The process of a part and its children: it imports what it needs, then waits for `run`.

    Args:
        part: Name of the part.
        options: Options of the whole command.
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
        """Let it measure for some seconds; return 0 if it succeeds in time, else 1."""
        print(f"{self.part}: {seconds:.0f} s", flush=True)
        try:
            self.process.communicate(f"{time.monotonic() + seconds}\n", timeout=seconds + GRACE)
        except subprocess.TimeoutExpired:
            print(f"{self.part} was stopped: it took longer than {seconds + GRACE:.0f} s", flush=True)
            return 1
        finally:
            self.end()  # what is left of it would share the device with the next part
        return int(self.process.returncode != 0)

    def end(self) -> None:
        """Kill it and all that it started, if anything is left."""
        with suppress(ProcessLookupError):  # all have ended already
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()  # which also closes the pipe
