"""The whole main job, in images a second, against the pipeline that a Lightning user writes first."""

from __future__ import annotations

import argparse
import logging
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from seqsum.benchmarks import loading
from seqsum.benchmarks.plain import plain_dataloader
from seqsum.benchmarks.timing import row, take_turns
from seqsum.data import DigitSums
from seqsum.module import SequenceModule

RIVAL = "plain, torch.nn.LSTM"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    loading.add_arguments(parser)
    parser.add_argument("--precision", default="32-true", help="of the Trainer, for all contestants")


def run(arguments: argparse.Namespace, device: torch.device) -> list[dict[str, Any]]:
    """With and without augmentation, one row for each contestant; same network, optimizer and Trainer.

    The plain pipeline gets the number of workers that is best for it.
    """
    rows = []
    for augment in (True, False):
        data = loading.make_data(arguments, augment)
        trainings: dict[str, Callable[[], float]] = {
            "seqsum": _training(SequenceModule(), data, None, arguments, device),
            "seqsum, torch.nn.LSTM": _training(SequenceModule(cell="torch_lstm"), data, None, arguments, device),
        }
        plain = {n: _training(SequenceModule(cell="torch_lstm"), data, n, arguments, device) for n in arguments.workers}
        best = min(plain, key=lambda n: min(plain[n]() for _ in range(2)))
        trainings[RIVAL] = plain[best]
        for _ in range(arguments.warm_up):
            for call in trainings.values():
                call()
        images = arguments.batches * arguments.batch_size * arguments.sequence_length
        for name, timing in take_turns(trainings, RIVAL, arguments.rounds).items():
            shown = f"{name}, {best} workers" if name == RIVAL else name
            found = {"augmented": str(augment), "what": shown, **row(timing)}
            rows.append(found | {"images/s": round(images / timing.median)})
    return rows


class _Stopwatch(Callback):
    """Seconds between the end of the first batch and the end of the last: the start of workers is not counted."""

    def __init__(self) -> None:
        self.start = self.end = 0.0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize(pl_module.device)
        now = time.perf_counter()
        self.start = now if batch_idx == 0 else self.start
        self.end = now


def _training(
    module: SequenceModule, data: DigitSums, workers: int | None, arguments: argparse.Namespace, device: torch.device
) -> Callable[[], float]:
    """A contestant: a short training by Lightning's Trainer, by the plain pipeline if it has workers."""
    if workers is None:
        source: dict[str, Any] = {"datamodule": data}
    else:
        digits, steps = data.splits["train"], data.lengths[1]
        source = {"train_dataloaders": plain_dataloader(digits, steps, data.batch_size, data.augment, workers)}

    def call() -> float:
        stopwatch = _Stopwatch()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Lightning's advice on workers, which are what is compared here
            logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
            trainer = Trainer(
                accelerator="gpu" if device.type == "cuda" else "cpu",
                devices=1,
                max_epochs=1,
                limit_train_batches=arguments.batches + 1,
                limit_val_batches=0,
                precision=arguments.precision,
                gradient_clip_val=1.0,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                callbacks=[stopwatch],
            )
            trainer.fit(module, **source)
        return stopwatch.end - stopwatch.start

    return call
