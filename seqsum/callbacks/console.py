"""What a run says while it goes on: a bar, and a line an epoch."""

from __future__ import annotations

import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar

from seqsum.console import print_line
from seqsum.data.base import Batch
from seqsum.networks.sequence import describe_network
from seqsum.run import data_of, module_of, run_folder

PER_SECOND = 10  # drawings of the progress bar


def epoch_of(trainer: Trainer) -> str:
    """The present epoch, counted from 1, and how many there will be where that is known."""
    last = trainer.max_epochs
    return f"{trainer.current_epoch + 1}" + (f"/{last}" if last is not None and last >= 0 else "")


class ProgressBar(RichProgressBar):
    """Lightning's bar with the two figures to watch, which fit into a narrow terminal.

    Drawn ten times a second, however many steps there are in one: on a GPU, each takes as long as a drawing.
    """

    def __init__(self) -> None:
        super().__init__(refresh_rate=PER_SECOND)
        self.moved = 0.0  # when

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        if time.monotonic() - self.moved > 1 / PER_SECOND or trainer.is_last_batch:
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
            self.moved = time.monotonic()

    def _get_train_description(self, current_epoch: int) -> str:
        """Lightning's own counts from 0."""
        return f"Epoch {epoch_of(self.trainer)}".ljust(len(self.validation_description))

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        metrics = super().get_metrics(trainer, pl_module)
        return {
            name: value
            for name, value in metrics.items()
            if name in ("train/step_loss", module_of(pl_module).objective.monitor)
        }


class RunLines(Callback):
    """Says in a few lines what runs, then how each epoch went: a bar forgets, and shows nothing in a log file."""

    def __init__(self) -> None:
        self.started = 0.0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            print_line(f"Data: {data_of(trainer).describe()}")
            print_line(f"Network: {describe_network(module_of(pl_module).network)}")
            print_line(f"Device: {trainer.world_size} × {trainer.strategy.root_device}")
            print_line(f"Logs: {run_folder(trainer) or 'none'}")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = time.perf_counter()  # a training that goes on within an epoch does not start that epoch again

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking or not trainer.is_global_zero:
            return
        metrics = [f"{name} {value:.4f}" for name, value in trainer.callback_metrics.items() if name.startswith("val/")]
        print_line(" · ".join([f"epoch {epoch_of(trainer)}", *metrics, f"{time.perf_counter() - self.started:.0f} s"]))
