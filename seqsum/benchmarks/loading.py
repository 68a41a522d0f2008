"""Speed of data loading: batches made on the device, against a DataLoader that transforms image by image."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from seqsum.allocator import keep_memory
from seqsum.benchmarks.plain import plain_dataloader
from seqsum.benchmarks.timing import row, take_turns
from seqsum.data import DigitSums
from seqsum.data.base import Batch
from seqsum.options import at_least

RIVAL = "DataLoader, 0 workers"
AHEAD = 2  # batches that a DataLoader lets each worker prefetch
PAUSE = 0.3  # seconds before each turn, because the workers of the one before still prefetch some batches


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--root", default="data", help="where MNIST is; otherwise rendered digits")
    parser.add_argument("--sequence-length", action=at_least(1), default=4)
    parser.add_argument("--batch-size", action=at_least(1), default=128)
    parser.add_argument("--batches", action=at_least(1), default=20, help="batches per round of each contestant")
    parser.add_argument("--workers", action=at_least(0), nargs="+", default=[0, 1, 2], help="DataLoader workers to try")


def run(arguments: argparse.Namespace, device: torch.device) -> list[dict[str, Any]]:
    """Measure a row for each contestant, with and without augmentation.

    A DataLoader without workers is always one of them, since all are compared with it.
    """
    keep_memory()  # as `train.py` does, here for all contestants
    rows = []
    for augment in (True, False):
        data = make_data(arguments, augment)
        contestants = {"seqsum": stopwatch(partial(own_batches, data, device), arguments.batches, 0)} | {
            f"DataLoader, {n} workers": stopwatch(partial(plain, data, n, device), arguments.batches, AHEAD * n)
            for n in sorted({0, *arguments.workers})
        }
        for _ in range(arguments.warm_up):
            for call in contestants.values():
                call()
        images = arguments.batches * arguments.batch_size * arguments.sequence_length
        for name, timing in take_turns(contestants, RIVAL, arguments.rounds).items():
            found = {"augmented": str(augment), "what": name, **row(timing)}
            rows.append(found | {"images/s": round(images / timing.median)})
    return rows


def make_data(arguments: argparse.Namespace, augment: bool) -> DigitSums:
    """Set up `DigitSums`: MNIST if it is below the root or can be downloaded, else rendered digits."""
    data = DigitSums(
        root=arguments.root,
        sequence_length=arguments.sequence_length,
        batch_size=arguments.batch_size,
        augment=augment,
    )
    data.setup("fit")
    return data


def own_batches(data: DigitSums, device: torch.device) -> Iterator[Batch]:
    """Yield batches of the DataModule on the device, without end."""
    while True:
        for batch in data.train_dataloader():
            yield data.gather(batch._replace(rows=batch.rows.to(device)))


def plain(data: DigitSums, num_workers: int, device: torch.device) -> Iterator[Batch]:
    """Yield batches of the plain pipeline on the device, without end."""
    loader = plain_dataloader(data.splits["train"], data.lengths[1], data.batch_size, data.augment, num_workers)
    while True:
        for batch in loader:
            yield batch._replace(inputs=batch.inputs.to(device), targets=batch.targets.to(device))


def stopwatch(make: Callable[[], Iterator[Batch]], batches: int, ahead: int) -> Callable[[], float]:
    """Make a contestant that times its next batches, in seconds. Its workers persist, so they start only once.

    Args:
        make: Makes its batches.
        batches: Batches to time.
        ahead: Batches that its workers make while others have their turn; these are taken before.
    """
    iterator = make()

    def call() -> float:
        time.sleep(PAUSE)
        for _ in range(ahead):
            next(iterator)
        start = time.perf_counter()
        for _ in range(batches):
            batch = next(iterator)
        if batch.inputs.is_cuda:
            torch.cuda.synchronize(batch.inputs.device)
        return time.perf_counter() - start

    return call
