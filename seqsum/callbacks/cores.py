"""Detect, in the first seconds of a training on CPUs, that other programs use its cores."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from seqsum.console import print_line
from seqsum.data.base import Batch


def waiting_time() -> float:
    """Total seconds that the threads of this process have waited for a core.

    Linux counts them ("schedstat" in https://docs.kernel.org/scheduler/sched-stats.html); 0 on other systems.
    """
    nanoseconds = 0
    for thread in Path("/proc/self/task").glob("*/schedstat"):
        try:
            nanoseconds += int(thread.read_text().split()[1])
        except OSError:  # a thread that has just ended
            continue
    return nanoseconds / 1e9


class SharedCores(Callback):
    """Print advice, once, if torch's threads wait for cores that other programs use.

    Torch divides an operation between its threads and waits for the last one: a thread without a core delays all
    others. On two cores the default training ran 15 steps a second with two threads and 10 with one; beside a busy
    program on one of the cores, 5 and 10.

    The first process measures the seconds after the first step.

    Attributes:
        seconds: How long to measure.
        most: Threads that may wait, on average. On two idle cores it is 0.1, beside one busy program 0.7.
    """

    seconds = 3.0
    most = 0.3

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        several = trainer.strategy.root_device.type == "cpu" and torch.get_num_threads() > 1
        self.looks_on = several and trainer.is_global_zero
        self.started: float | None = None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        if not self.looks_on:
            return
        if self.started is None:  # don't measure the first step, which compiles
            self.started, self.waited = time.monotonic(), waiting_time()
        elif (passed := time.monotonic() - self.started) >= self.seconds:
            self.looks_on = False
            waiting = (waiting_time() - self.waited) / passed
            if waiting > self.most:
                print_line(advice(waiting, torch.get_num_threads()))


def advice(waiting: float, threads: int) -> str:
    """Advise how many threads to use, if on average `waiting` of them wait for a core.

    A thread that shares its core with one program waits half of the time, so twice as many cores are in use.
    """
    free = max(1, threads - math.ceil(2 * waiting))
    return (
        f"Other programs use the cores: {waiting:.1f} of torch's {threads} threads wait for a core, and delay the "
        f"others. Put `OMP_NUM_THREADS={free}` before the command to train faster."
    )
