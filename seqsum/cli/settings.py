"""One pass over flags, files and checkpoint: each file is read once, and what was found there is handed on."""

from __future__ import annotations

import argparse
import json
from typing import Any, NamedTuple

from lightning.pytorch.utilities import rank_zero_info

from seqsum.cli.arguments import join_values
from seqsum.cli.configurations import Configuration, read_files, read_run
from seqsum.cli.latest import find
from seqsum.errors import InputError
from seqsum.paths import expand_options
from seqsum.resume.checkpoint_files import CheckpointFiles
from seqsum.resume.checkpoints import experiment_in, settings_in

NEWEST = ("last", "best")  # what `--ckpt_path` may be in place of a file


class Settings(NamedTuple):
    """What a command line says, with what its checkpoint adds.

    Attributes:
        options: Of the parser.
        files: Text of each file that they name, by its name there.
        checkpoints: What reads and writes checkpoints, and has read the one that the options name.
    """

    options: list[str]
    files: dict[str, str]
    checkpoints: CheckpointFiles


class Flags(NamedTuple):
    """The flags that say which settings there are at all."""

    checkpoint: str | None
    experiment: str
    root: str


def read_settings(subcommand: str, options: list[str]) -> Settings:
    """Read the files and the checkpoint that options name.

    Args:
        subcommand: `fit` can do without a checkpoint: where there is none yet, `last` starts a training, so
            that a job that is started again and again needs but one command.
        options: Of the command line.

    Raises:
        InputError: A file can't be what it is named as.
    """
    options = join_values(expand_options(options), "--data.images")
    given = _parse(options)
    files = read_files(given.config)
    checkpoints = CheckpointFiles()
    options = with_checkpoint(subcommand, options, _flags(given, files), checkpoints)
    return Settings(options, {name: file.text for name, file in files.items()}, checkpoints)


def _parse(options: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--ckpt_path")
    parser.add_argument("--experiment")
    parser.add_argument("--trainer.default_root_dir", dest="root")
    parser.add_argument("-c", "--config", action="append", default=[])
    return parser.parse_known_args(options)[0]


def _flags(given: argparse.Namespace, files: dict[str, Configuration]) -> Flags:
    """As the command line or its files say."""
    experiment, root = given.experiment, given.root
    for file in files.values():
        experiment = experiment or file.settings.get("experiment")
        trainer = file.settings.get("trainer")
        root = root or (trainer.get("default_root_dir") if isinstance(trainer, dict) else None)
    return Flags(given.ckpt_path, experiment or "sum", root or "logs")


def with_checkpoint(subcommand: str, options: list[str], flags: Flags, checkpoints: CheckpointFiles) -> list[str]:
    """Options with what the checkpoint that they name brings along, before them, so that the user's own win.

    The settings in it, so that a network is tested on what it was trained on and as it was built. For a
    training that goes on from `last` or `best` all settings of that run too, from its `config.yaml`.
    """
    path = flags.checkpoint
    if path is None:
        return options
    if path not in NEWEST:
        return [_settings_of(checkpoints.read_ahead(path)), *options]
    found = find(path, flags.root, flags.experiment)
    if found is None and subcommand != "fit":
        raise InputError(f"`--ckpt_path` (={path}) finds no run of {flags.experiment} in {flags.root}")
    if found is None:
        rank_zero_info(f"No run of {flags.experiment} in {flags.root} to go on with: a new one starts.")
        return [*options, "--ckpt_path=null"]
    rank_zero_info(f"`--ckpt_path={path}`: {'going on with' if subcommand == 'fit' else subcommand} {found}")
    run = read_run(found.parents[1]) if subcommand == "fit" else {}
    for option in options:
        if "+=" in option:  # the same command as before: its additions must not come on top of themselves
            _leave_out(run, option.removeprefix("--").partition("+=")[0].split("."))
    of_checkpoint = _settings_of(checkpoints.read_ahead(str(found)))
    return [f"--config={json.dumps(run)}", of_checkpoint, *options, f"--ckpt_path={found}"]


def _leave_out(settings: dict[str, Any], path: list[str]) -> None:
    *parents, name = path
    for parent in parents:
        settings = settings.get(parent) or {}
    settings.pop(name, None)


def _settings_of(checkpoint: dict[str, Any]) -> str:
    """The settings in a checkpoint, as an option."""
    experiment = experiment_in(checkpoint)
    named = {"experiment": experiment} if experiment else {}
    return f"--config={json.dumps(settings_in(checkpoint) | named)}"
