"""Log more curves: learning rate, gradient norm, speed, and the metrics at each time step."""

from __future__ import annotations

import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.optim import Optimizer

from seqsum.data.base import Batch
from seqsum.objectives import StepMean
from seqsum.optimization import steps_of_epoch
from seqsum.run import module_of, spaced


class Scalars(Callback):
    """Log how a training progresses to all loggers.

    - `train/learning_rate`, and `train/gradient_norm` before clipping
    - `train/images_per_second` of each epoch (`sequences_per_second` if steps are not images), over all processes,
      without validation and pictures
    - metrics at each time step, such as `val_by_step/exact_step_t3`

    Lightning's LearningRateMonitor would draw the same curve for each parameter group, and its ThroughputMonitor would
    synchronise the GPU after every batch.
    """

    def __init__(self) -> None:
        self.read = 0  # images or sequences, see `unit`
        self.unit = "images"
        self.seconds = 0.0
        self.last = 0.0  # time of the last clock reading

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        if module_of(pl_module).logs_this_step:
            gradients = [weight.grad for weight in pl_module.parameters() if weight.grad is not None]
            pl_module.log("train/gradient_norm", torch.nn.utils.get_total_norm(gradients))
            pl_module.log("train/learning_rate", optimizer.param_groups[0]["lr"])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._restart()  # resuming within an epoch does not call `on_train_epoch_start`
        # at least once an epoch, or short epochs would leave no curve
        settings: Any = trainer  # Lightning sets the interval from outside of its class
        settings.log_every_n_steps = int(min(settings.log_every_n_steps, steps_of_epoch(trainer)))

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._restart()

    def _restart(self) -> None:
        self.read, self.seconds, self.last = 0, 0.0, time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        now = time.perf_counter()
        self.seconds += now - self.last
        self.last = now
        self.unit = "images" if batch.inputs.dim() == 5 and batch.mask is None else "sequences"
        self.read += batch.inputs.shape[:2].numel() if self.unit == "images" else len(batch.targets)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.last = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.seconds > 0:  # not what was read: one process may have got nothing, and all log together
            speed = trainer.world_size * self.read / self.seconds
            pl_module.log(f"train/{self.unit}_per_second", speed, sync_dist=True)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for name, metric in module_of(pl_module).val_metrics.items(keep_base=True):
            if isinstance(metric, StepMean) and metric.last is None:  # not metrics of the last few steps alone
                steps = spaced(list(enumerate(metric.by_step(), start=1)))  # synchronises: call it on all processes
                pl_module.log_dict({f"val_by_step/{name}_t{t}": mean for t, mean in steps}, sync_dist=True)
