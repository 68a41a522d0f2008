"""Optimizers and learning-rate schedules: the defaults, and a user's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import nn
from torch.optim import Optimizer

from seqsum.errors import InputError
from seqsum.resumed import Begun

BY_STEP = (torch.optim.lr_scheduler.OneCycleLR, torch.optim.lr_scheduler.CyclicLR)
NamedSchedule = Literal["one_cycle", "constant"]
Schedule = NamedSchedule | LRSchedulerCallable

__all__ = ["LRSchedulerCallable", "OptimizerCallable", "Schedule", "adamw", "make_optimizer", "make_schedule"]


def adamw(
    module: nn.Module,
    learning_rate: float,
    weight_decay: float,
    fused: bool | None = None,
    encoder: nn.Module | None = None,
    encoder_learning_rate: float | None = None,
) -> Optimizer:
    """Make AdamW (Loshchilov & Hutter, 2019) with weight decay for matrices only, not for 1-D parameters.

    Args:
        module: Module whose parameters to optimise.
        learning_rate: Learning rate.
        weight_decay: Weight decay of matrices.
        fused: Whether to fuse the update; see torch.optim.AdamW.
        encoder: Part of `module` with a learning rate of its own.
        encoder_learning_rate: That rate; None for the same as the others, in the same two parameter groups.
    """
    own = set() if encoder is None or encoder_learning_rate is None else set(encoder.parameters())
    groups = _groups([weight for weight in module.parameters() if weight not in own], weight_decay)
    if own:
        of_encoder = [weight for weight in module.parameters() if weight in own]
        groups += [group | {"lr": encoder_learning_rate} for group in _groups(of_encoder, weight_decay)]
    return torch.optim.AdamW(groups, lr=learning_rate, fused=fused)


def _groups(parameters: Sequence[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Make AdamW's groups: matrices, which decay, and vectors, which don't."""
    return [
        {"params": [parameter for parameter in parameters if parameter.dim() > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in parameters if parameter.dim() <= 1], "weight_decay": 0.0},
    ]


def check_length(schedule: Any) -> None:
    """Check that a checkpoint, from which a training goes on, is not beyond the end of the schedule.

    Raises:
        InputError: It is: there are fewer steps or epochs than it was trained with.
    """
    done, total = schedule.last_epoch, getattr(schedule, "total_steps", None)
    if total is not None and done > total:
        raise InputError(
            f"`--ckpt_path`: the checkpoint is of step {done}, and this training would end after {total}: give as many "
            "`--trainer.max_epochs` and batches as it had, or more"
        )


def make_schedule(schedule: Schedule, optimizer: Optimizer, module: Any) -> dict[str, Any] | None:
    """Make the schedule in the form that Lightning takes; None for `constant`.

    Args:
        schedule: `one_cycle` (Smith & Topin, 2018) rises to the optimizer's learning rate and falls again, changing at
            every step of the training, and with it the momentum, if there is one. A user's own schedule changes once
            per epoch; torch's OneCycleLR and CyclicLR, and one with `interval = "step"`, at every step. It may also
            return a dict, as Lightning takes it.
        optimizer: The optimizer whose learning rate it changes.
        module: The `SequenceModule`. Its Trainer knows the length of the training. ReduceLROnPlateau watches
            `val/loss`, or with `mode="max"` the metric that its objective monitors.

    Raises:
        InputError: `one_cycle` needs the length of the training, which is unknown; a plateau is waited for in a
            validation that there is not, or with `mode="max"` in a metric that is to fall; a dict has no `scheduler`;
            a schedule refuses its arguments, or ends before the training.
    """
    if schedule == "constant":
        return None
    if schedule == "one_cycle":
        steps = _steps_to_come(module.trainer, module.begun)
        if 0 in (steps, module.trainer.limit_train_batches):  # nothing is trained
            return None
        if math.isinf(steps) or steps < 1:  # -1 for a loader without a length
            raise InputError(
                "`--model.schedule` (='one_cycle') needs to know the length of the training: give "
                "`--trainer.max_steps`, or `--trainer.max_epochs` where the loader has a length, or use 'constant'"
            )
        peaks = [group["lr"] for group in optimizer.param_groups]
        has_momentum = not optimizer.defaults.keys().isdisjoint({"momentum", "betas"})
        one_cycle = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, peaks, total_steps=int(steps), cycle_momentum=has_momentum
        )
        return {"scheduler": one_cycle, "interval": "step"}
    made = _made("schedule", schedule, optimizer)
    planned: dict[str, Any] = dict(made) if isinstance(made, dict) else {"scheduler": made}
    if "scheduler" not in planned:
        raise InputError(f"`schedule` returned a dict of {', '.join(planned) or 'nothing'}, which needs `scheduler`")
    by_default = "step" if isinstance(planned["scheduler"], BY_STEP) else None
    if interval := getattr(planned["scheduler"], "interval", by_default):
        planned.setdefault("interval", interval)
    if isinstance(planned["scheduler"], torch.optim.lr_scheduler.OneCycleLR) and module._trainer is not None:
        _require_whole_cycle(planned["scheduler"], _steps_to_come(module.trainer, module.begun))
    if isinstance(planned["scheduler"], torch.optim.lr_scheduler.ReduceLROnPlateau):  # Lightning's has a `monitor`
        falling, objective = planned["scheduler"].mode == "min", module.objective
        planned.setdefault("monitor", getattr(planned["scheduler"], "monitor", None))
        if planned["monitor"] is None and not falling and objective.monitor_mode == "min":
            raise InputError(
                f"`mode` (='max') of ReduceLROnPlateau waits for a metric to rise, and {objective.monitor} of "
                f"{type(objective).__name__} is to fall: use 'min', which watches val/loss"
            )
        planned["monitor"] = planned["monitor"] or ("val/loss" if falling else objective.monitor)
        if planned["monitor"].startswith("val/") and module._trainer is not None:
            _follow_validations(planned, module._trainer)
    return planned


def _require_whole_cycle(schedule: torch.optim.lr_scheduler.OneCycleLR, steps: float) -> None:
    """Raise an InputError if the training has more steps than a cycle, after which the schedule can't go on."""
    if schedule.total_steps < steps < math.inf:
        raise InputError(
            f"`--model.schedule`: OneCycleLR ends after {schedule.total_steps:,} steps, and the training has "
            f"{steps:,.0f}: give them as `--model.schedule.total_steps`"
        )


def make_optimizer(optimizer: Callable[..., Optimizer], parameters: Iterable[nn.Parameter]) -> Optimizer:
    """Make a user's optimizer.

    Raises:
        InputError: It refuses its arguments.
    """
    return _made("optimizer", optimizer, parameters)


def _made(name: str, function: Callable[..., Any], argument: Any) -> Any:
    try:
        return function(argument)
    except (ArithmeticError, TypeError, ValueError) as error:  # as torch refuses arguments, and divides by them
        raise InputError(f"`--model.{name}` can't be made: {type(error).__name__}: {error}") from error


def _steps_to_come(trainer: Trainer, begun: Begun | None) -> float:
    """Estimate the steps of a training; of those of a second `fit`, for which a schedule begins anew, what is left.

    A training that goes on may have other batches than it was `begun` with.
    """
    steps = trainer.estimated_stepping_batches  # of all epochs, and at most `max_steps`
    if math.isinf(steps) or steps < 1 or not (trainer.ckpt_path or trainer.global_step):
        return steps
    of_epoch, epochs = steps_of_epoch(trainer), trainer.max_epochs or -1  # with this training's data
    if trainer.ckpt_path:
        if begun is None or begun.epochs >= epochs or math.isinf(of_epoch):
            return steps
        is_over = begun.batches >= trainer.num_training_batches
        of_this = 0 if is_over else of_epoch - begun.batches // trainer.accumulate_grad_batches
        steps = begun.steps + of_this + (epochs - begun.epochs - 1) * of_epoch
        return steps if trainer.max_steps == -1 else min(steps, trainer.max_steps)
    left = math.inf if trainer.max_steps == -1 else trainer.max_steps - trainer.global_step
    if epochs > 0 and not math.isinf(of_epoch):
        left = min(left, (epochs - trainer.current_epoch) * of_epoch)
    return max(1, left)


def steps_of_epoch(trainer: Trainer) -> float:
    """Return the number of optimizer steps in an epoch of the training; infinite if its data have no end."""
    steps = trainer.num_training_batches / trainer.accumulate_grad_batches
    return steps if math.isinf(steps) else math.ceil(steps)


def _follow_validations(planned: dict[str, Any], trainer: Trainer) -> None:
    """Let a schedule look at its metric with each validation.

    Raises:
        InputError: There is none.
    """
    if not trainer.limit_val_batches and planned.get("strict", True):
        raise InputError(
            f"`--model.schedule` waits for a plateau of {planned['monitor']}, and there is no validation: give another "
            "schedule, or `--trainer.limit_val_batches`"
        )
    if planned.get("interval", "epoch") == "epoch":
        planned.setdefault("frequency", trainer.check_val_every_n_epoch or 1)


def step_plateau_schedules(trainer: Trainer) -> None:
    """Step the schedules that watch a metric, at the end of an epoch and before checkpoints are written.

    Lightning steps them after that, and in an epoch that was resumed within it does not: a resumed training would go on
    with another learning rate.
    """
    loop = trainer.fit_loop
    if loop.epoch_loop._num_ready_batches_reached():
        loop.epoch_loop.update_lr_schedulers("epoch", update_plateau_schedulers=True)
        loop._restarting = True  # so that Lightning doesn't, in this epoch
