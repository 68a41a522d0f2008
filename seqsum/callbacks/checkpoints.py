"""What is kept of a training: the best epoch, the place where it is, and an average of the weights."""

from __future__ import annotations

import signal
import time
from functools import cached_property
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException

from seqsum.callbacks.interrupts import EXIT_STATUS, Interrupts
from seqsum.checkpoints import CheckpointFiles, load_checkpoint
from seqsum.console import print_line
from seqsum.data.base import Batch
from seqsum.objectives import Objective
from seqsum.run import run_folder


class _Checkpoint(ModelCheckpoint):
    @cached_property
    def state_key(self) -> str:
        """Lightning's own, put together once, and not for each hook of each step."""
        return super().state_key


class BestCheckpoint(_Checkpoint):
    """`checkpoints/best.ckpt`: the epoch that is best by the objective's own measure, on the validation data.

    A training that goes on takes the best one so far along into its own folder.
    """

    def __init__(self, objective: Objective) -> None:
        mode = objective.monitor_mode
        super().__init__(filename="best", monitor=objective.monitor, mode=mode, enable_version_counter=False)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if any(name.startswith("val/") for name in trainer.callback_metrics):  # Lightning warns before a validation
            super().on_train_epoch_end(trainer, pl_module)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        former = Path(str(trainer.ckpt_path)).with_name("best.ckpt")
        if trainer.state.fn != "fit" or not former.is_file():
            return
        best = load_checkpoint(str(former))
        # one that is ahead of where the training goes on is met once more
        if self.state_key in best["callbacks"] and best["global_step"] <= checkpoint["global_step"]:
            path = self.format_checkpoint_name({})
            if trainer.is_global_zero:
                CheckpointFiles().save_checkpoint(best, path)
            score = best["callbacks"][self.state_key]["best_model_score"]
            self.best_k_models = {path: score}
            self.best_model_path = self.kth_best_model_path = path
            self.best_model_score = self.kth_value = score

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Little: what the file says counts, see `on_load_checkpoint`."""
        self.current_score = state_dict["current_score"]


class LastCheckpoint(_Checkpoint):
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
            if not trainer.fit_loop._should_accumulate():
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
            self._save_checkpoint(trainer, self.format_checkpoint_name({}))
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


class AveragedWeights(EMAWeightAveraging):
    """Validates, keeps and tests an exponential moving average of the weights.

    Lightning's own, but for two things. The test after a training is of the average too; Lightning would
    load the weights as they were when the best average was met. And weights and average are told apart in
    checkpoints of all moments: within a validation, when they have changed places, and at the end.
    """

    changed_places = False

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_validation_epoch_start(trainer, pl_module)
        self.changed_places = True

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_validation_epoch_end(trainer, pl_module)
        self.changed_places = False

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if self.changed_places:  # a validation that is interrupted, and so is not gone on with here
            self.on_validation_epoch_end(trainer, pl_module)
        super().on_save_checkpoint(trainer, pl_module, checkpoint)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Nothing yet: the last checkpoint of the training is still to be written."""

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_end(trainer, pl_module)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if trainer.state.fn == "fit":  # going on with a training takes both, the weights and their average
            super().on_load_checkpoint(trainer, pl_module, checkpoint)
