"""What callbacks ask of a run: its module, its data, its folder, and what writes for TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar, cast

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.tensorboard import SummaryWriter

from seqsum.console import print_line
from seqsum.data.base import SequenceData
from seqsum.data.own import OwnDigits
from seqsum.module import SequenceModule

Step = TypeVar("Step")


def module_of(module: LightningModule) -> SequenceModule:
    """Cast for the type checker."""
    return cast("SequenceModule", module)


def data_of(trainer: Trainer) -> SequenceData:
    """The data of the run."""
    return cast("SequenceData", trainer.datamodule)  # type: ignore[attr-defined]  # set by Trainer.fit and its like


def run_folder(trainer: Trainer) -> Path | None:
    """The run's own folder, which its loggers made; None without loggers, when nothing is to be written.

    Asked of the logger: `trainer.log_dir` asks all processes, and would wait for ever for those that don't
    come here too.
    """
    folders = [getattr(logger, "log_dir", None) or logger.save_dir for logger in trainer.loggers]
    return Path(folders[0]) if folders and folders[0] else None


def tensorboard_writers(trainer: Trainer) -> list[SummaryWriter]:
    """The writers of TensorBoard's files; none without its logger, and on every process but the first."""
    loggers = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
    return [logger.experiment for logger in loggers] if trainer.is_global_zero else []


def print_left_out(own: OwnDigits) -> None:
    """Name what could not be read of a user's images, and why; and what else was in their folders."""
    for line in own.left_out():
        print_line(line)


MOST_STEPS = 32  # whose metrics are shown one by one


def spaced(steps: Sequence[Step]) -> Sequence[Step]:
    """Steps of a sequence, or the last of each of `MOST_STEPS` parts of a longer one."""
    every = -(-len(steps) // MOST_STEPS) or 1
    return steps[every - 1 :: every]
