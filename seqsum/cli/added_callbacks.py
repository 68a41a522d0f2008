"""Inspect the callbacks that a user adds: which replace the program's own, and which can't work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    EarlyStopping,
    GradientAccumulationScheduler,
    LearningRateFinder,
    ModelCheckpoint,
    ProgressBar,
)

from seqsum.errors import InputError
from seqsum.module import SequenceModule

BY_STEP = "val_by_step/"  # with the number of the step, which depends on the data
# logged, but rarely used as a `monitor`
SELDOM = (
    *("epoch", "step", "train/learning_rate", "train/gradient_norm"),
    *("train/images_per_second", "train/sequences_per_second"),
)
FINDERS = (LearningRateFinder, BatchSizeFinder)  # search before a training begins
OURS = ("lightning.", "seqsum.")  # callbacks from these packages log no other metrics


def has_progress_bar(callbacks: Sequence[Callback]) -> bool:
    """Return whether one of the callbacks is a progress bar: Lightning allows only one."""
    return any(isinstance(callback, ProgressBar) for callback in callbacks)


def has_checkpoint(callbacks: Sequence[Callback], has_folder: bool) -> bool:
    """Return whether one of the callbacks writes checkpoints.

    Raises:
        InputError: Neither the run nor such a callback has a folder.
    """
    found = [callback for callback in callbacks if isinstance(callback, ModelCheckpoint)]
    for callback in found:
        if callback.dirpath is None and not has_folder:
            raise InputError(
                f"`--trainer.callbacks`: {type(callback).__name__} needs a `dirpath`, since a run without a logger has "
                "no folder"
            )
    return bool(found)


def check_finders(callbacks: Sequence[Callback], module: SequenceModule) -> None:
    """Refuse callbacks that change the learning rate or the number of steps after the schedule was made.

    Raises:
        InputError: There is such a callback, and the schedule is not constant, or depends on the number of steps; or it
            looks for the learning rate of the default optimizer, and the optimizer is the user's own.
    """
    for callback in callbacks:
        name = type(callback).__name__
        if isinstance(callback, LearningRateFinder) and module.optimizer is not None:
            raise InputError(f"`--trainer.callbacks`: {name} finds the rate of the default optimizer, not of your own")
        changes_steps = isinstance(callback, GradientAccumulationScheduler) and module.schedule == "one_cycle"
        if changes_steps or (isinstance(callback, FINDERS) and module.schedule != "constant"):
            raise InputError(
                f"`--trainer.callbacks`: {name} can't change a schedule that is already made: it "
                f"needs `--model.schedule=constant`, not {module.schedule!r}"
            )


def without_finders(callbacks: Sequence[Callback]) -> list[Callback]:
    """Leave out callbacks that search before a training begins: one that goes on has what they found."""
    return [callback for callback in callbacks if not isinstance(callback, FINDERS)]


def check_monitors(callbacks: Sequence[Callback], module: SequenceModule, our_checkpoints: bool) -> None:
    """Refuse a `monitor` that nothing logs, of a callback, or of the objective if the program keeps the best epoch.

    A user's own module or callback may log anything, so skip the check then.

    Raises:
        InputError: There is such a `monitor`, and the message lists the metrics; or a callback waits for it to rise
            where it is to fall, or the other way round.
    """
    if type(module) is not SequenceModule or not all(type(each).__module__.startswith(OURS) for each in callbacks):
        return
    known = monitored(module)
    watching = [callback for callback in callbacks if isinstance(callback, EarlyStopping | ModelCheckpoint)]
    names: list[tuple[str, Any]] = [
        (f"`--trainer.callbacks`: {type(each).__name__}'s `monitor`", each.monitor) for each in watching
    ]
    if our_checkpoints:
        names.append((f"{type(module.objective).__name__}'s `monitor`", module.objective.monitor))
    for whose, name in names:
        if name not in (None, *known, *SELDOM) and not name.startswith(BY_STEP):
            raise InputError(f"{whose} (={name!r}) must be one of {', '.join(known)}")
    modes = {"val/loss": "min", "train/loss": "min", module.objective.monitor: module.objective.monitor_mode}
    for each in watching:
        mode = modes.get(str(each.monitor), each.mode)
        if each.mode != mode:
            raise InputError(
                f"`--trainer.callbacks`: {type(each).__name__}'s `mode` (={each.mode!r}) must be {mode!r} for "
                f"{each.monitor}, which is to {'rise' if mode == 'max' else 'fall'}"
            )


def monitored(module: SequenceModule) -> list[str]:
    """Names of the metrics logged in each epoch of a training."""
    metrics = [str(name) for each in (module.val_metrics, module.train_metrics) for name in each]
    return ["val/loss", "train/loss", "train/step_loss", *metrics]
