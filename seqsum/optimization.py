"""Optimizers and learning-rate schedules: the defaults, and a user's own."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable, ReduceLROnPlateau
from torch import nn
from torch.optim import Optimizer

from seqsum.errors import InputError

Schedule = Literal["one_cycle", "constant"] | LRSchedulerCallable

__all__ = ["LRSchedulerCallable", "OptimizerCallable", "Schedule", "adamw", "make_schedule"]


def adamw(module: nn.Module, learning_rate: float, weight_decay: float, fused: bool | None = None) -> Optimizer:
    """Make AdamW (Loshchilov & Hutter, 2019) with weight decay for weight matrices only, not for 1-D parameters."""
    matrices = [parameter for parameter in module.parameters() if parameter.dim() > 1]
    vectors = [parameter for parameter in module.parameters() if parameter.dim() <= 1]
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, fused=fused)


def make_schedule(schedule: Schedule, optimizer: Optimizer, module: LightningModule) -> dict[str, Any] | None:
    """Make the schedule in the form that Lightning takes; None for `constant`.

    Args:
        schedule: `one_cycle` (Smith & Topin, 2018) rises to the optimizer's learning rate and falls again, changing at
            every step of the training. A user's own schedule changes once per epoch, Lightning's default.
        optimizer: The optimizer whose learning rate it changes.
        module: The module whose Trainer knows the length of the training.

    Raises:
        InputError: `one_cycle` needs the length of the training, which is unknown.
    """
    if schedule == "constant":
        return None
    if schedule == "one_cycle":
        steps = module.trainer.estimated_stepping_batches
        if math.isinf(steps):
            raise InputError(
                "`--model.schedule` (='one_cycle') needs to know the length of the training: "
                "give `--trainer.max_epochs` or `--trainer.max_steps`, or use 'constant'"
            )
        peaks = [group["lr"] for group in optimizer.param_groups]
        one_cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, peaks, total_steps=int(steps))
        return {"scheduler": one_cycle, "interval": "step"}
    made = schedule(optimizer)
    return {"scheduler": made} | ({"monitor": made.monitor} if isinstance(made, ReduceLROnPlateau) else {})
