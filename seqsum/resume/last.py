"""The checkpoint from which a training goes on."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException

from seqsum.console import print_line
from seqsum.data.base import Batch
from seqsum.resume.checkpoint_callback import CheckpointCallback
from seqsum.resume.interrupts import EXIT_STATUS, Interrupts
from seqsum.resume.lightning_state import gradients_wait, save
from seqsum.run import run_folder


class LastCheckpoint(CheckpointCallback):
    """`checkpoints/last.ckpt`, from which a training goes on: see `ExactResume`.

    Written before the first epoch and after each one, every ten minutes within longer ones, and when a
    training is interrupted; always between two batches, when all that came before is done and in the logs.
    An error leaves the one before in place: what raises in the middle of a step may leave half a step behind.
    """

    seconds = 600.0  # the most that a machine which fails may cost, save the batch it was at

    def __init__(self) -> None:
        super().__init__(filename="last", enable_version_counter=False)
        self.interrupts = Interrupts()
        self.written = 0.0  # when

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.interrupts.listen()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write(trainer)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        overdue = time.monotonic() - self.written > self.seconds
        # gradients that wait for those of further batches would be lost
        between_steps = batch_idx % trainer.accumulate_grad_batches == 0
        if between_steps and self._any(trainer, overdue or self.interrupts.received is not None):
            self._write(trainer)
            self._stop_if_interrupted(trainer)

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        in_training = trainer.state.fn == "fit" and not trainer.sanity_checking
        if in_training and self._any(trainer, self.interrupts.received is not None):
            if not gradients_wait(trainer):
                self._write(trainer)
            self._stop_if_interrupted(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write(trainer)
        self._stop_if_interrupted(trainer)

    def on_train_batch_end(self, *_: Any) -> None:
        """Nothing, in Lightning's stead: the batch is not quite done."""

    def on_validation_end(self, *_: Any) -> None:
        """Nothing: its figures are not yet in the logs."""

    def on_train_epoch_end(self, *_: Any) -> None:
        """Nothing: its figures are not yet in the logs."""

    def _write(self, trainer: Trainer) -> None:
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]  # Lightning sets it from outside
            save(self, trainer, self.format_checkpoint_name({}))
            self.written = time.monotonic()

    def _any(self, trainer: Trainer, here: bool) -> bool:
        """Whether it is so in any process: they must stop, and write, at the same batch."""
        return here if trainer.world_size == 1 else trainer.strategy.reduce_boolean_decision(here, all=False)

    def _stop_if_interrupted(self, trainer: Trainer) -> None:
        received = self.interrupts.received
        if self._any(trainer, received == signal.SIGTERM):
            raise SIGTERMException(EXIT_STATUS)
        if self._any(trainer, received == signal.SIGINT):
            raise KeyboardInterrupt

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Say how to go on, if there is something to go on from."""
        last, folder = Path(self.dirpath or "") / "last.ckpt", run_folder(trainer)
        if folder and trainer.global_step > 0 and isinstance(exception, KeyboardInterrupt | SIGTERMException):
            print_line(f"Interrupted. Go on with: python train.py -c {folder / 'config.yaml'} --ckpt_path={last}")
