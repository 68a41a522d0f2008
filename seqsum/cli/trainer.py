"""Choose the Trainer's arguments: which parts are the program's, and which the user's."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple, cast

from jsonargparse import Namespace
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins.io import CheckpointIO
from lightning.pytorch.profilers import PassThroughProfiler

from seqsum.cli.added_callbacks import has_checkpoint, has_progress_bar
from seqsum.cli.profiler import NoProfiler
from seqsum.distributed import first_device
from seqsum.errors import InputError
from seqsum.module import SequenceModule
from seqsum.recurrent import Recurrent, RecurrentCell
from seqsum.recurrent.backends import KERNELS, is_changing, runner
from seqsum.resume.checkpoint_files import CheckpointFiles
from seqsum.run import run_folder


class Wanted(NamedTuple):
    """What the settings of the Trainer ask for.

    Attributes:
        added: The user's callbacks.
        has_folder: Whether the run has a folder; if not, it must not write files.
        user_checkpoints: Whether one of the user's callbacks writes checkpoints.
        our_checkpoints: Whether the program's callbacks do, in a training.
        our_loggers: Whether to use the program's loggers.
        progress_bar: Whether to show the program's progress bar.
    """

    added: list[Callback]
    has_folder: bool
    user_checkpoints: bool
    our_checkpoints: bool
    our_loggers: bool
    progress_bar: bool


def read_wanted(settings: Namespace) -> Wanted:
    """Read the instantiated settings of the Trainer.

    Raises:
        InputError: One of the user's callbacks has no folder to write into.
    """
    added = as_list(settings.callbacks)
    loggers = as_list(settings.logger)  # a run is where the first logger writes
    nowhere = bool(loggers) and isinstance(loggers[0], Logger) and loggers[0].save_dir is None
    has_folder = settings.logger is not False and not nowhere and not settings.barebones
    wants_bar = settings.enable_progress_bar is not False and not settings.barebones
    return Wanted(
        added,
        has_folder,
        user_checkpoints=has_checkpoint(added, has_folder),
        our_checkpoints=settings.enable_checkpointing is not False and has_folder,
        our_loggers=settings.logger in (None, True) and has_folder and not settings.fast_dev_run,
        progress_bar=wants_bar and not has_progress_bar(added),
    )


LEAST = {"accumulate_grad_batches": 1, "check_val_every_n_epoch": 1, "gradient_clip_val": 0, "log_every_n_steps": 0}


def check_numbers(settings: Namespace) -> None:
    """Refuse numbers that the Trainer takes, and a training stumbles over.

    Raises:
        InputError: One is too small.
    """
    for name, least in LEAST.items():
        if (given := settings[name]) is not None and given < least:
            raise InputError(f"`--trainer.{name}` (={given}) must be at least {least}")
    interval = settings.val_check_interval
    if isinstance(interval, int | float) and interval <= 0:
        raise InputError(f"`--trainer.val_check_interval` (={interval}) must be above 0")


def arguments_of(settings: Namespace, wanted: Wanted, subcommand: str, checkpoints: CheckpointFiles) -> dict[str, Any]:
    """Return the Trainer's arguments that replace the settings."""
    changed: dict[str, Any] = {}
    if subcommand == "predict":  # a sequence of a few images must not be split over devices
        changed |= {"devices": first_device(settings.devices), "num_nodes": 1}
    if subcommand != "fit":
        changed["enable_checkpointing"] = wanted.user_checkpoints
    elif not wanted.has_folder and not wanted.user_checkpoints:
        changed["enable_checkpointing"] = False
    plugins = as_list(settings.plugins)
    if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
        changed["plugins"] = [*plugins, checkpoints]
    if wanted.our_loggers:
        changed["logger"] = False  # added after all checks, since they make a folder
    return changed


def check_backends(trainer: Trainer, module: SequenceModule) -> None:
    """Refuse kernels that can't run a cell on the device of the training: the first step would end with an error.

    Raises:
        InputError: There is such a cell.
    """
    layers = [part for part in module.modules() if isinstance(part, Recurrent) and part.backend in KERNELS]
    for cell, backend in ((cell, layer.backend) for layer in layers for cell in layer.cells):
        if is_changing(cell) or any(weight.is_meta for weight in cell.parameters()):
            continue  # a run computes weights for a plain copy of the cell, or there are none yet
        there = trainer.precision_plugin.convert_module(copy.deepcopy(cell)).to(trainer.strategy.root_device)
        try:
            runner(cast("RecurrentCell", there), backend)
        except RuntimeError as error:
            raise InputError(str(error)) from error


def check_folder(trainer: Trainer) -> None:
    """Refuse a folder, named by a logger of the user's own, that has a run already, before anything in it is changed.

    Raises:
        InputError: There are the settings of a run.
    """
    folder = run_folder(trainer)
    if folder is not None and (folder / "config.yaml").exists():
        raise InputError(f"`--trainer.logger`: {folder} has a run already; another version or folder must be named")


def use_no_profiler(trainer: Trainer) -> None:
    """Replace Lightning's profiler by `NoProfiler`, unless the user chose one."""
    if type(trainer.profiler) is PassThroughProfiler:  # type: ignore[attr-defined]  # set outside the class
        trainer.profiler = NoProfiler()  # type: ignore[attr-defined]


def as_list(given: Any) -> list[Any]:
    """Convert one value, several values or None to a list."""
    return list(given) if isinstance(given, list | tuple) else [] if given is None else [given]
