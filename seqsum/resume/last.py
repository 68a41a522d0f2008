"""The checkpoint to resume from."""

from __future__ import annotations

import math
import signal
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException

from seqsum.console import print_line, quote
from seqsum.data.base import Batch
from seqsum.resume.checkpoint_callback import CheckpointCallback
from seqsum.resume.checkpoint_files import CheckpointFiles
from seqsum.resume.interrupts import EXIT_STATUS, Interrupts
from seqsum.resume.lightning_state import save
from seqsum.run import run_folder


class LastCheckpoint(CheckpointCallback):
    """Keep `checkpoints/last.ckpt`, to resume from: see `ExactResume`.

    It is written before the first epoch, after each epoch, every ten minutes within longer ones, and when the training
    is interrupted; always between two batches, when everything before is done and logged. After an error the previous
    file stays in place: an exception in the middle of a step may leave half a step behind. A resumed training begins
    with a copy of what it goes on from, so that its folder never has best.ckpt alone.
    """

    seconds = 600.0  # at most so much training, and one batch, is lost if the machine fails

    def __init__(self) -> None:
        super().__init__(filename="last", enable_version_counter=False)
        self.interrupts = Interrupts()
        self.written = -math.inf  # time of the last write

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.interrupts.listen()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write(trainer)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        overdue = time.monotonic() - self.written > self.seconds
        if self._any(trainer, overdue or self.interrupts.received is not None):
            self._write(trainer)
            self._stop_if_interrupted(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._copy(trainer)

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        in_training = trainer.state.fn == "fit" and not trainer.sanity_checking
        if in_training and self._any(trainer, self.interrupts.received is not None):
            self._write(trainer)
            self._stop_if_interrupted(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write(trainer)
        self._stop_if_interrupted(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._copy(trainer)  # nothing was left to train

    def _copy(self, trainer: Trainer) -> None:
        """Copy the checkpoint that the training goes on from, unless there is a new one."""
        resumed = trainer.ckpt_path is not None and not trainer.fast_dev_run  # type: ignore[attr-defined]  # see `_write`
        if resumed and self.written == -math.inf and trainer.is_global_zero:
            CheckpointFiles().copy(str(trainer.ckpt_path), self.format_checkpoint_name({}))

    def on_train_batch_end(self, *_: Any) -> None:
        """Do nothing, unlike Lightning: the batch is not finished yet."""

    def on_validation_end(self, *_: Any) -> None:
        """Do nothing: the metrics are not logged yet."""

    def on_train_epoch_end(self, *_: Any) -> None:
        """Do nothing: the metrics are not logged yet."""

    def _write(self, trainer: Trainer) -> None:
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]  # Lightning sets it from outside
            save(self, trainer, self.format_checkpoint_name({}))
            self.written = time.monotonic()

    def _any(self, trainer: Trainer, here: bool) -> bool:
        """Whether `here` is true in any process: all must stop and write at the same batch."""
        return here if trainer.world_size == 1 else trainer.strategy.reduce_boolean_decision(here, all=False)

    def _stop_if_interrupted(self, trainer: Trainer) -> None:
        received = self.interrupts.received
        if self._any(trainer, received == signal.SIGTERM):
            raise SIGTERMException(EXIT_STATUS)
        if self._any(trainer, received == signal.SIGINT):
            raise KeyboardInterrupt

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Print how to resume, if there is a checkpoint to resume from."""
        last, folder = Path(self.dirpath or "") / "last.ckpt", run_folder(trainer)
        if folder and trainer.global_step > 0 and isinstance(exception, KeyboardInterrupt | SIGTERMException):
            config = quote(str(folder / "config.yaml"))
            print_line(f"Interrupted. To resume: python train.py -c {config} --ckpt_path={quote(str(last))}")
