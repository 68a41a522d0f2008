"""Callbacks of Lightning's that a user adds: which of them this program makes room for, and which it must refuse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import (
    BatchSizeFinder,
    EarlyStopping,
    LearningRateFinder,
    ModelCheckpoint,
    ProgressBar,
)

from seqsum.errors import InputError
from seqsum.module import SequenceModule

BY_STEP = "val_by_step/"  # with the number of the step, which depends on the data
# known, but hardly a measure of what is best
SELDOM = (
    *("epoch", "step", "train/learning_rate", "train/gradient_norm"),
    *("train/images_per_second", "train/sequences_per_second"),
)
OWN = ("lightning.", "seqsum.")  # packages whose callbacks log nothing that is not known here


def has_progress_bar(callbacks: Sequence[Callback]) -> bool:
    """Whether there is one already: Lightning allows no second."""
    return any(isinstance(callback, ProgressBar) for callback in callbacks)


def has_checkpoint(callbacks: Sequence[Callback], has_folder: bool) -> bool:
    """Whether one of the callbacks writes checkpoints.

    Raises:
        InputError: Neither the run nor the callback has a folder for them.
    """
    found = [callback for callback in callbacks if isinstance(callback, ModelCheckpoint)]
    for callback in found:
        if callback.dirpath is None and not has_folder:
            raise InputError(
                f"`--trainer.callbacks`: {type(callback).__name__} needs a `dirpath`, for a run without a logger has "
                "no folder"
            )
    return bool(found)


def check_finders(callbacks: Sequence[Callback], module: SequenceModule) -> None:
    """Refuse what changes the rate or the number of steps once the schedule is made.

    Raises:
        InputError: As said.
    """
    for callback in callbacks:
        if isinstance(callback, LearningRateFinder | BatchSizeFinder) and module.schedule != "constant":
            raise InputError(
                f"`--trainer.callbacks`: {type(callback).__name__} can't change a schedule that is already made: it "
                f"needs `--model.schedule=constant`, not {module.schedule!r}"
            )


def check_monitors(callbacks: Sequence[Callback], module: SequenceModule) -> None:
    """Refuse a `monitor` that nothing logs, unless a callback of the user's own may.

    Raises:
        InputError: As said; names what there is.
    """
    if type(module) is not SequenceModule or not all(type(each).__module__.startswith(OWN) for each in callbacks):
        return
    known = monitored(module)
    for callback in callbacks:
        watches = isinstance(callback, EarlyStopping | ModelCheckpoint)
        name: Any = getattr(callback, "monitor", None) if watches else None
        if name not in (None, *known, *SELDOM) and not name.startswith(BY_STEP):
            raise InputError(
                f"`--trainer.callbacks`: {type(callback).__name__}'s `monitor` (={name!r}) must be one of "
                f"{', '.join(known)}"
            )


def monitored(module: SequenceModule) -> list[str]:
    """What a training logs in each epoch, by name."""
    metrics = [str(name) for each in (module.val_metrics, module.train_metrics) for name in each]
    return ["val/loss", "train/loss", "train/step_loss", *metrics]
