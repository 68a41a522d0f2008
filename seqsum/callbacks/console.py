"""Report progress on the console: a progress bar, and one line per epoch."""

from __future__ import annotations

import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar

from seqsum.console import print_line
from seqsum.data.base import Batch
from seqsum.networks.sequence import describe_network
from seqsum.resumed import stopped_early
from seqsum.run import data_of, module_of, run_folder

PER_SECOND = 10  # refreshes of the progress bar


def epoch_of(trainer: Trainer) -> str:
    """Current epoch, counted from 1, and the number of epochs if known: `3/20`."""
    last = trainer.max_epochs
    return f"{trainer.current_epoch + 1}" + (f"/{last}" if last is not None and last >= 0 else "")


class ProgressBar(RichProgressBar):
    """Lightning's progress bar with only the loss and the monitored metric, to fit into a narrow terminal.

    It is redrawn ten times a second, not after every step: on a GPU, drawing takes as long as a step.
    """

    def __init__(self) -> None:
        super().__init__(refresh_rate=PER_SECOND)
        self.moved = 0.0  # time of the last refresh

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        if time.monotonic() - self.moved > 1 / PER_SECOND or trainer.is_last_batch:
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
            self.moved = time.monotonic()

    def _get_train_description(self, current_epoch: int) -> str:
        """Count epochs from 1, not from 0 as Lightning does."""
        return f"Epoch {epoch_of(self.trainer)}".ljust(len(self.validation_description))

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        metrics = super().get_metrics(trainer, pl_module)
        return {
            name: value
            for name, value in metrics.items()
            if name in ("train/step_loss", module_of(pl_module).objective.monitor)
        }


class RunLines(Callback):
    """Print what runs, and the metrics of each epoch: a progress bar keeps no history and is useless in a log file."""

    def __init__(self) -> None:
        self.started = 0.0
        self.trained = False  # a step, since the training was started or resumed

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.trained = False
        if trainer.is_global_zero:
            print_line(f"Data: {data_of(trainer).describe()}")
            print_line(f"Network: {describe_network(module_of(pl_module).network)}")
            print_line(f"Device: {trainer.world_size} × {trainer.strategy.root_device}")
            print_line(f"Logs: {run_folder(trainer) or 'none'}")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = time.perf_counter()  # resuming within an epoch does not call `on_train_epoch_start`

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        self.trained = True

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.trained or not trainer.is_global_zero:
            return
        if trainer.ckpt_path is None:
            print_line("Nothing was trained: the weights are the initial ones")
            return
        if trainer.fast_dev_run:  # type: ignore[attr-defined]  # set from outside
            return  # its limits are not the user's
        limits = {"max_epochs": trainer.current_epoch, "max_steps": trainer.global_step}
        flags = [
            f"`--trainer.{name}` (={limit})"
            for name, reached in limits.items()
            if 0 < (limit := getattr(trainer, name) or 0) <= reached
        ]
        if (stopping := stopped_early(trainer)) is not None:
            flags.append(f"`patience` (={stopping.patience}) of EarlyStopping, which ended it")
        for flag in flags:
            print_line(f"Nothing was left to train: the checkpoint is of a finished training. Raise {flag} to go on")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking or not trainer.is_global_zero:
            return
        metrics = [f"{name} {value:.4f}" for name, value in trainer.callback_metrics.items() if name.startswith("val/")]
        print_line(" · ".join([f"epoch {epoch_of(trainer)}", *metrics, f"{time.perf_counter() - self.started:.0f} s"]))
