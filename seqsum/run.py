"""Access a run's module, data, folder and TensorBoard writers, for callbacks."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar, cast

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.tensorboard import SummaryWriter

from seqsum.console import print_line
from seqsum.data.base import SequenceData
from seqsum.data.own import OwnInput
from seqsum.module import SequenceModule

Step = TypeVar("Step")


def module_of(module: LightningModule) -> SequenceModule:
    """Cast for the type checker."""
    return cast("SequenceModule", module)


def data_of(trainer: Trainer) -> SequenceData:
    """Return the DataModule of the run."""
    return cast("SequenceData", trainer.datamodule)  # type: ignore[attr-defined]  # set by Trainer.fit and others


def run_folder(trainer: Trainer) -> Path | None:
    """Return the run's folder, made by its loggers; None without loggers, when no file may be written.

    Only the first process knows it: None on all others. It comes from the logger, since `trainer.log_dir` would wait
    for all processes, and hang if some don't call it.
    """
    if not trainer.is_global_zero:
        return None
    folders = [getattr(logger, "log_dir", None) or logger.save_dir for logger in trainer.loggers]
    return Path(folders[0]) if folders and folders[0] else None


def tensorboard_writers(trainer: Trainer) -> list[SummaryWriter]:
    """Return TensorBoard's writers; empty without its logger, and on every process but the first."""
    loggers = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
    return [logger.experiment for logger in loggers] if trainer.is_global_zero else []


def drop_if_empty(trainer: Trainer) -> None:
    """Remove the run's folder if nothing is in it but what describes the run, and its experiment's if that is empty."""
    folder = run_folder(trainer)
    if folder is None or not folder.is_dir():
        return
    files = [file for file in folder.rglob("*") if file.is_file()]
    described_in = ("config.yaml", "hparams.yaml")
    if all(file.name in described_in or file.name.startswith("events.out.tfevents") for file in files):
        for logger in trainer.loggers:
            logger.finalize("failed")
        shutil.rmtree(folder)
        if not any(folder.parent.iterdir()):
            folder.parent.rmdir()


def print_left_out(own: OwnInput) -> None:
    """Print what of the user's input was left out, and why."""
    for line in own.left_out():
        print_line(line)


MOST_STEPS = 32  # time steps whose metrics are shown separately


def spaced(steps: Sequence[Step]) -> Sequence[Step]:
    """Return all steps, or about `MOST_STEPS` evenly spaced ones and the last if there are more."""
    every = -(-len(steps) // MOST_STEPS) or 1
    return [step for place, step in enumerate(steps, start=1) if place % every == 0 or place == len(steps)]
