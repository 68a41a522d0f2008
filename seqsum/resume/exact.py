"""Save what Lightning's checkpoints lack to resume a training exactly."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler, StochasticWeightAveraging
from torch import Tensor

from seqsum.console import print_line
from seqsum.data.base import Batch
from seqsum.data.loader import BatchLoader, batch_size_of, keeps_its_place
from seqsum.resume.lightning_state import (
    Place,
    batches_done,
    end_epoch,
    go_on_at,
    is_within_epoch,
    loader_states,
    metrics_so_far,
    place_of,
    set_steps,
)
from seqsum.resume.metric_sums import load_sums, metric_sums, training_metrics
from seqsum.resume.waiting_gradients import fit_waiting, load_waiting, waiting_gradients
from seqsum.resumed import stopped_early


class ExactResume(Callback):
    """Resume a training from any checkpoint, between epochs or within one: bit for bit on the CPU.

    Lightning saves weights, optimizer, schedule and counters. This callback also saves the sums behind the epoch's
    metrics, the metrics of the last validation, and gradients that were added up and wait for further batches, except
    where a process has parts of the weights only (FSDP), or within a batch. It corrects the position of Lightning's
    loops. Without that, they would skip a validation that was due or interrupted, repeat a finished epoch if the
    training is measured in steps, and count a step twice in the curves. `BatchLoader` remembers which batches are done.
    `Seeds`, which comes behind it in the list of callbacks, derives random numbers from the position alone, and skips
    what is done of another loader. Callbacks that write checkpoints come last by themselves.

    Args:
        experiment: Name of the experiment, saved in checkpoints so that later runs belong to it.

    Attributes:
        within: Batches that are done of the epoch within which the training goes on; None if it begins with an epoch.
    """

    def __init__(self, experiment: str | None = None) -> None:
        self.experiment = experiment
        self._begin()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._begin()  # what a training before this one went on from is no longer true

    def _begin(self) -> None:
        self.validated = False  # since the last training step
        self.steps: int | None = None  # what Lightning must have counted before the next training step
        self.sums: dict[str, Any] = {}
        self.waiting: dict[str, Any] | None = None
        self.metrics: dict[str, Tensor] = {}
        self.loaders: list[dict[str, Any]] = []
        self.within: int | None = None
        self.batch_size: int | None = None  # with which these batches were made, if it is known
        self.validation_due = True
        self.sums_at_end: dict[str, Any] = {}  # of an epoch that was ended within

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        self.validated = False
        if self.steps is not None and self.within is not None:
            _begin_epoch(trainer, pl_module)
        self._correct_steps(trainer)
        if self.waiting is not None:
            fit_waiting(trainer, pl_module, self.waiting)
            self.waiting = None

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._correct_steps(trainer)
        self.sums_at_end = metric_sums(pl_module) if is_within_epoch(trainer) else {}
        if isinstance(trainer.train_dataloader, BatchLoader):
            trainer.train_dataloader.load_state_dict({"served": 0})  # the next epoch starts with its first batch

    def _correct_steps(self, trainer: Trainer) -> None:
        if self.steps is not None:
            set_steps(trainer, self.steps)
            self.steps = None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.validated = True

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        place = place_of(trainer, checkpoint["loops"]["fit_loop"], self.validated)
        checkpoint["place"] = place._replace(batch_size=batch_size_of(trainer.train_dataloader))._asdict()
        checkpoint["metric_sums"] = {} if place.epoch_finished else self.sums_at_end or metric_sums(pl_module)
        if (waiting := waiting_gradients(trainer, pl_module)) is not None:
            checkpoint["waiting"] = waiting
        found = metrics_so_far(trainer)  # those of the training are computed again before anything looks at them
        checkpoint["metrics"] = {name: found[name].cpu() for name in found if not name.startswith("train/")}
        if self.experiment is not None:
            checkpoint["experiment"] = self.experiment

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if trainer.state.fn == "fit" and "place" in checkpoint:  # missing in version 0.1.0
            place, loops = Place(**checkpoint["place"]), checkpoint["loops"]["fit_loop"]
            go_on_at(loops, place)
            self.steps, self.sums, self.loaders = place.steps, checkpoint["metric_sums"], loader_states(loops)
            self.within = None if place.epoch_finished else batches_done(loops)
            self.validation_due, self.batch_size = place.validation_due, place.batch_size
            self.waiting, self.metrics = checkpoint.get("waiting"), checkpoint.get("metrics", {})

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.ckpt_path is not None and stopped_early(trainer):
            trainer.should_stop = True  # or each repetition of the command would train for another epoch
        done = self.within or 0
        if 0 < trainer.num_training_batches <= done and not self.validation_due:
            end_epoch(trainer)  # Lightning expects a validation there, and would train a batch more
        # Lightning doesn't if a schedule has asked for the number of batches before
        loader: Any = trainer.train_dataloader
        for state in self.loaders if keeps_its_place(loader) else ():
            loader.load_state_dict(state)
        before, now = self.batch_size, batch_size_of(loader)
        if done and before and now and before != now and trainer.is_global_zero:
            print_line(
                f"The checkpoint is from within an epoch: {done} batches of {before} sequences are done. As "
                f"many of {now} are left out now: some sequences come {'twice' if now < before else 'never'} in it"
            )
        for name, metric in training_metrics(pl_module):
            if name in self.sums:
                load_sums(metric, self.sums[name], trainer.is_global_zero)
        if self.waiting is not None:
            load_waiting(trainer, pl_module, self.waiting)
        metrics_so_far(trainer).update({name: metric.to(pl_module.device) for name, metric in self.metrics.items()})
        self.sums, self.metrics = {}, {}


def _begin_epoch(trainer: Trainer, module: LightningModule) -> None:
    """Let Lightning's callbacks set an epoch up that is gone on with: it calls them only where one begins."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # set outside the class
        if isinstance(callback, GradientAccumulationScheduler | StochasticWeightAveraging):  # once more does no harm
            callback.on_train_epoch_start(trainer, module)
