"""The Trainer that the settings ask for: what of it is this program's, and what is the user's."""

from __future__ import annotations

from typing import Any, NamedTuple

from jsonargparse import Namespace
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.plugins.io import CheckpointIO
from lightning.pytorch.profilers import PassThroughProfiler

from seqsum.cli.added_callbacks import check_finders, check_monitors, has_checkpoint, has_progress_bar
from seqsum.cli.profiler import NoProfiler
from seqsum.distributed import first_device
from seqsum.module import SequenceModule
from seqsum.resume.checkpoint_files import CheckpointFiles


class Wanted(NamedTuple):
    """What the settings of the Trainer decide about.

    Attributes:
        added: The user's callbacks.
        has_folder: Whether the run has a folder: one without must not write into another's.
        own_checkpoints: Whether a callback of the user's writes checkpoints.
        our_checkpoints: Whether this program's do, in a training.
        our_loggers: Whether the loggers are this program's.
        progress_bar: Whether this program's bar is shown.
    """

    added: list[Callback]
    has_folder: bool
    own_checkpoints: bool
    our_checkpoints: bool
    our_loggers: bool
    progress_bar: bool


def read_wanted(settings: Namespace) -> Wanted:
    """What settings of the Trainer, whose classes are made, ask for.

    Raises:
        InputError: A callback of the user's has no folder to write into.
    """
    added = as_list(settings.callbacks)
    has_folder = settings.logger is not False and not settings.barebones
    wants_bar = settings.enable_progress_bar is not False and not settings.barebones
    return Wanted(
        added,
        has_folder,
        own_checkpoints=has_checkpoint(added, has_folder),
        our_checkpoints=settings.enable_checkpointing is not False and has_folder,
        our_loggers=settings.logger in (None, True) and has_folder and not settings.fast_dev_run,
        progress_bar=wants_bar and not has_progress_bar(added),
    )


def check_added(wanted: Wanted, module: SequenceModule) -> None:
    """Refuse callbacks of the user's that a training can't have.

    Raises:
        InputError: As said.
    """
    check_finders(wanted.added, module)
    check_monitors(wanted.added, module)


def arguments_of(settings: Namespace, wanted: Wanted, subcommand: str, checkpoints: CheckpointFiles) -> dict[str, Any]:
    """What the Trainer is given in place of what the settings say."""
    changed: dict[str, Any] = {}
    if subcommand == "predict":  # a handful of images, which several devices would only tear apart
        changed |= {"devices": first_device(settings.devices), "num_nodes": 1}
    if subcommand != "fit":
        changed["enable_checkpointing"] = wanted.own_checkpoints
    elif not wanted.has_folder and not wanted.own_checkpoints:
        changed["enable_checkpointing"] = False
    plugins = as_list(settings.plugins)
    if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
        changed["plugins"] = [*plugins, checkpoints]
    if wanted.our_loggers:
        changed["logger"] = False  # they make a folder, and come when nothing can go wrong any more
    return changed


def use_no_profiler(trainer: Trainer) -> None:
    """Put `NoProfiler` in the place of Lightning's, which does nothing either, and takes time for it."""
    if type(trainer.profiler) is PassThroughProfiler:  # type: ignore[attr-defined]  # set from outside too
        trainer.profiler = NoProfiler()  # type: ignore[attr-defined]


def as_list(given: Any) -> list[Any]:
    """What may be given as one, several or none, as a list."""
    return list(given) if isinstance(given, list | tuple) else [] if given is None else [given]
