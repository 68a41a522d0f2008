"""What a checkpoint must hold beyond Lightning's own, so that a training goes on as if it had never stopped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torchmetrics import Metric

from seqsum.data.base import Batch
from seqsum.data.loader import BatchLoader
from seqsum.run import module_of


class ExactResume(Callback):
    """Lets a training go on from any checkpoint, between epochs or within one: bit for bit on the CPU.

    Lightning keeps weights, optimizer, schedule and counters. This keeps the sums behind the epoch's
    metrics, and tells Lightning's loops where to go on. By themselves they leave out a validation that was
    due or interrupted, start a finished epoch again where the training is measured in steps, and count a step twice
    in the curves. (Which batches are done the loader knows, see `BatchLoader`; random numbers follow from the
    place alone, see `Seeds`.)
    """

    def __init__(self) -> None:
        self.validated = False  # since the last training step
        self.steps: int | None = None  # what Lightning must have counted before the next training step
        self.sums: dict[str, Any] = {}
        self.loaders: list[dict[str, Any]] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        self.validated = False
        self._correct_steps(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._correct_steps(trainer)
        self._leave_out(trainer, {"served": 0})  # where all batches of the epoch were, none has been asked for

    def _correct_steps(self, trainer: Trainer) -> None:
        if self.steps is not None:
            trainer.fit_loop.epoch_loop._batches_that_stepped, self.steps = self.steps, None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.validated = True  # the callbacks that write checkpoints come after this one

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        loops = checkpoint["loops"]["fit_loop"]
        epochs, batches = loops["epoch_progress"]["current"], loops["epoch_loop.batch_progress"]["current"]
        ending_batch = batches["completed"] < batches["processed"]
        finished = epochs["processed"] == epochs["started"]
        checkpoint["place"] = {
            "epoch_finished": finished,
            "validation_due": not finished and self._validation_is_due(trainer, ending_batch),
            # Lightning counts one after the batch and its validation
            "steps": loops["epoch_loop.state_dict"]["_batches_that_stepped"] + (ending_batch or trainer.validating),
        }
        checkpoint["metric_sums"] = {} if finished else metric_sums(pl_module)

    def _validation_is_due(self, trainer: Trainer, ending_batch: bool) -> bool:
        if trainer.validating:
            return not self.validated
        loop, fetcher = trainer.fit_loop.epoch_loop, trainer.fit_loop._data_fetcher
        return ending_batch and fetcher is not None and loop._should_check_val_fx(fetcher)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if trainer.state.fn == "fit" and "place" in checkpoint:  # not in those of version 0.1.0
            loops = checkpoint["loops"]["fit_loop"]
            go_on_at(loops, **checkpoint["place"])
            self.steps, self.sums = checkpoint["place"]["steps"], checkpoint["metric_sums"]
            self.loaders = loops["state_dict"].get("combined_loader", [])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Lightning forgets to, where a schedule has asked it beforehand how many batches there are
        for state in self.loaders:
            self._leave_out(trainer, state)
        for name, metric in training_metrics(pl_module):
            if name in self.sums:
                load_sums(metric, self.sums[name], trainer.is_global_zero)
        self.sums = {}

    def _leave_out(self, trainer: Trainer, state: dict[str, Any]) -> None:
        if isinstance(trainer.train_dataloader, BatchLoader):
            trainer.train_dataloader.load_state_dict(state)


def go_on_at(loops: dict[str, Any], epoch_finished: bool, validation_due: bool, steps: int) -> None:
    """Set the counters of a checkpoint's training loops so that Lightning goes on at the place given.

    Each event has four counters: `ready`, `started`, `processed` and `completed`. An epoch or a validation is
    under way when the last two lag behind; what Lightning takes for granted of a checkpoint between two hooks
    they do not tell, so they are made to: a batch is done or not.

    Args:
        loops: Of the checkpoint, changed in place.
        epoch_finished: Nothing of the epoch is left to be done.
        validation_due: One is due after the last training batch, or was interrupted.
        steps: Training steps before the next one.
    """
    epochs, batches = loops["epoch_progress"], loops["epoch_loop.batch_progress"]
    loops["epoch_loop.state_dict"]["_batches_that_stepped"] = steps - validation_due
    batches["is_last_batch"] &= batches["current"]["ready"] == batches["current"]["processed"]
    for span in ("total", "current"):
        epochs[span].update(ready=epochs[span]["started"], completed=epochs[span]["processed"])
        batches[span] = dict.fromkeys(batches[span], batches[span]["processed"])
        begun = int(validation_due)
        loops["epoch_loop.val_loop.batch_progress"][span].update(ready=begun, started=begun, processed=0, completed=0)
    for loader in loops["state_dict"].get("combined_loader", []):
        loader.update(served=batches["current"]["processed"])  # it may have served the next one, which was not used
    if epoch_finished:
        batches.update(current=dict.fromkeys(batches["current"], 0), is_last_batch=False)
        loops["state_dict"].pop("combined_loader", None)


def training_metrics(module: LightningModule) -> Iterator[tuple[str, Metric]]:
    """The metrics that are summed up over a training epoch, by name."""
    module = module_of(module)
    yield "loss", module.train_loss
    yield from ((name, metric) for name, metric in module.train_metrics.items(keep_base=True))


def metric_sums(module: LightningModule) -> dict[str, Any]:
    """What the training metrics have summed up in this epoch, over all processes: each of them must call it."""
    sums = {}
    for name, metric in training_metrics(module):
        with metric.sync_context(dist_sync_fn=metric.dist_sync_fn):
            states = {key: torch.as_tensor(state).clone() for key, state in metric.metric_state.items()}
        sums[name] = {"updates": metric.update_count, "states": states}
    return sums


def load_sums(metric: Metric, saved: dict[str, Any], first_process: bool) -> None:
    """Put sums back; those of all processes together, so into the first alone."""
    metric._update_count = saved["updates"]  # otherwise it warns that it was never updated
    for key, state in saved["states"].items():
        setattr(metric, key, state.to(metric.device) if first_process else torch.zeros_like(state).to(metric.device))
