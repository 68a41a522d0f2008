"""Compiles kernels in advance, in several processes: Triton caches them on disk for the measurement.

Triton takes some seconds per kernel, and there are hundreds. Nothing here is timed, so it can run beside the tests.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.pool import AsyncResult

import torch

from seqsum.benchmarks.gpu import kernels, rule
from seqsum.benchmarks.gpu.budget import Deadline
from seqsum.benchmarks.gpu.contestants import MODES, Arena, Case, Contestant, can_run, run
from seqsum.data.base import unlabelled
from seqsum.module import SequenceModule

Task = Callable[[torch.device], None]


class Pool:
    """Processes that run tasks, each of which runs kernels once so that they are compiled.

    Args:
        tasks: Tasks to run; more and smaller tasks spread better.
        device: Device that the kernels run on.
        deadline: When to stop the processes.
    """

    def __init__(self, tasks: Sequence[Task], device: torch.device, deadline: Deadline) -> None:
        self.deadline = deadline
        count = max(1, (os.cpu_count() or 1) // 2)
        self.pool = multiprocessing.get_context("spawn").Pool(min(count, len(tasks)))  # CUDA does not survive a fork
        self.results: list[AsyncResult[None]] = [self.pool.apply_async(task, (device,)) for task in tasks]

    def finish(self) -> str:
        """Wait until all tasks are done or the time is up; return how many are done, and why the first other is not."""
        failures = []
        for result in self.results:
            try:
                result.get(self.deadline.left())
            except multiprocessing.TimeoutError:
                failures.append("no time")
            except Exception as error:  # of a compiler: the measurement will raise it again and say where
                failures.append(f"{type(error).__name__}: {error}")
        self.pool.terminate()
        done = f"{len(self.results) - len(failures)} of {len(self.results)} groups of kernels are compiled"
        return f"{done}; the first that is not: {failures[0]}" if failures else done


def tasks(parts: Sequence[str], device: torch.device) -> list[Task]:
    """List tasks that compile all kernels that the parts run by Triton."""
    wanted: list[tuple[Case, Contestant]] = []
    if "kernels" in parts:
        wanted += [(entry.case, c) for entry in kernels.plan() for c in entry.contestants]
    if "rule" in parts:
        wanted += [(case, Contestant("triton", name)) for case, name in rule.cases()]
    found = [(case, c) for case, c in wanted if c.what == "triton" and can_run(c, case.cell, device)]
    grouped: dict[tuple[str, int, str], list[Case]] = {}  # cases that share kernels go to one process
    for case, contestant in found:
        grouped.setdefault((case.cell, case.shape.hidden, contestant.precision), []).append(case)
    many: list[Task] = [partial(run_cases, cases, precision) for (_, _, precision), cases in grouped.items()]
    return [train_once, *many] if "step" in parts else many


def run_cases(cases: Sequence[Case], precision: str, device: torch.device) -> None:
    """Run each case once, forward without gradients and forward and backward."""
    torch.set_num_threads(1)
    contestant = Contestant("triton", precision)
    for case in cases:
        arena = Arena(case, device)
        for mode in MODES:
            run(contestant, arena.call(contestant, mode))
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def train_once(device: torch.device) -> None:
    """Run the default network on batches of 128 and 1,024, as the training does."""
    module = SequenceModule(backend="triton").to(device)
    for sequences in (128, 1024):
        batch = unlabelled(torch.zeros(sequences, 4, 1, 28, 28, device=device))
        module(batch).sum().backward()
        with torch.no_grad():
            module(batch)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
