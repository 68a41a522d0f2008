"""Combine flags, configuration files and checkpoint; each file is read only once."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from lightning.pytorch.utilities import rank_zero_info

from seqsum.cli.arguments import files_first, join_values
from seqsum.cli.configurations import Configuration, dump_settings, read_files, read_run
from seqsum.cli.latest import NEWEST, find
from seqsum.data.own import OWN_INPUTS, REPLACED
from seqsum.errors import InputError
from seqsum.module_arguments import LEARNING_RATE, WEIGHT_DECAY
from seqsum.paths import expand_options
from seqsum.resume.checkpoint_files import CheckpointFiles
from seqsum.resume.checkpoints import experiment_in, settings_in

RATES = {"learning_rate": LEARNING_RATE, "weight_decay": WEIGHT_DECAY}  # of the default optimizer, by default


class Settings(NamedTuple):
    """The command line, with the settings that its checkpoint adds.

    Attributes:
        options: Options for the parser.
        files: Text of each configuration file, by its name in the options.
        checkpoints: Reads and writes checkpoints; has already read the one that the options name.
    """

    options: list[str]
    files: dict[str, str]
    checkpoints: CheckpointFiles


class Flags(NamedTuple):
    """The flags that select a checkpoint, and which of its settings are read.

    Attributes:
        checkpoint: Its file, `best` or `last`.
        experiment, root: Where the newest run is searched for.
        own: Arguments for data of the user's own, in `REPLACED`: the settings that they replace are left out.
    """

    checkpoint: str | None
    experiment: str
    root: str
    own: tuple[str, ...] = ()


def read_settings(subcommand: str, options: list[str]) -> Settings:
    """Read the configuration files and the checkpoint that the options name.

    Args:
        subcommand: With `fit`, `last` starts a new training if there is no checkpoint yet, so that a job can always
            run the same command.
        options: Options of the command line.

    Raises:
        InputError: A file is not a valid configuration or checkpoint, or there is no run to test or predict with.
    """
    options = files_first(expand_options(options))
    for name in OWN_INPUTS:
        options = join_values(options, f"--data.{name}")
    given = _parse(options)
    files = read_files(given.config)
    if given.ckpt_path is None:
        _say_what_is_missing(list(files))
    checkpoints = CheckpointFiles()
    options += _rates_taken_back(given, options, files)
    own = tuple(name for name in REPLACED if _is_given(name, options, files))
    options = with_checkpoint(subcommand, options, _flags(given, files)._replace(own=own), checkpoints)
    return Settings(options, {name: file.text for name, file in files.items()}, checkpoints)


def _parse(options: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--ckpt_path")
    parser.add_argument("--experiment")
    parser.add_argument("--trainer.default_root_dir", dest="root")
    parser.add_argument("--model.optimizer", dest="optimizer", default="null")
    parser.add_argument("--model.optimizer.class_path", dest="optimizer", default="null")
    parser.add_argument("-c", "--config", action="append", default=[])
    try:
        return parser.parse_known_args(options)[0]
    except argparse.ArgumentError as error:
        raise InputError(f"`{error.argument_name}` needs a value") from error


def _is_given(name: str, options: list[str], files: dict[str, Configuration]) -> bool:
    """Whether a flag or a file gives an argument of the data, other than null."""
    found: list[Any] = [file.settings.get("data") for file in files.values()]
    for flag, _, text in (option.partition("=") for option in options):
        if flag in (f"--data.{name}", f"--data.init_args.{name}"):
            found.append({name: _value(text) if text else name})
        elif flag in ("--data", "--data.init_args"):
            found.append(_value(text))
        elif flag in ("-c", "--config") and isinstance(settings := _value(text), dict):
            found.append(settings.get("data"))
    arguments = [part for data in found if isinstance(data, dict) for part in (data, data.get("init_args"))]
    return any(isinstance(part, dict) and part.get(name) is not None for part in arguments)


def _rates_taken_back(given: argparse.Namespace, options: list[str], files: dict[str, Configuration]) -> list[str]:
    """Return flags for an optimizer on the command line, whose rates are not those of the default one in a file."""
    if _value(given.optimizer) is None:
        return []
    flags = [option.partition("=")[0] for option in options]
    models = [file.settings.get("model") for file in files.values()]
    in_files = [name for model in models if isinstance(model, dict) for name in model]
    taken_back = [name for name in RATES if name in in_files and f"--model.{name}" not in flags]
    return [f"--model.{name}={RATES[name]}" for name in taken_back]


def _value(text: str) -> Any:
    """Read a value on the command line; one that is no YAML, such as a pattern of files, is taken as text."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _say_what_is_missing(files: list[str]) -> None:
    """Say so if a file of differences, such as `configs/rows/lstm.yaml`, is given without `configs/rows.yaml`."""
    given = [Path(name).resolve() for name in files]
    for name, path in zip(files, given, strict=True):
        whole = path.parent.parent / f"{path.parent.name}.yaml"
        if whole.is_file() and whole not in given:
            rank_zero_info(f"`--config` (={name}) without {whole.name}, which it may change: all else is the default's")


def _flags(given: argparse.Namespace, files: dict[str, Configuration]) -> Flags:
    """Read these flags from the command line, else from the last file that has them, else use the defaults."""
    experiment, root = given.experiment, given.root
    checkpoints = [file.settings["ckpt_path"] for file in files.values() if "ckpt_path" in file.settings]
    checkpoints += [] if given.ckpt_path is None else [given.ckpt_path]
    checkpoint = None if not checkpoints or checkpoints[-1] in (None, "null") else str(checkpoints[-1])
    for file in reversed(list(files.values())):
        experiment = file.settings.get("experiment") if experiment is None else experiment
        trainer = file.settings.get("trainer")
        root = root or (trainer.get("default_root_dir") if isinstance(trainer, dict) else None)
    experiment = "sum" if experiment is None else experiment
    folder = Path(str(experiment))
    if not folder.parts or ".." in folder.parts or folder.anchor:
        raise InputError(f"`--experiment` (={experiment}) must be a name, of a folder below the logs")
    return Flags(checkpoint, experiment, root or "logs")


def with_checkpoint(subcommand: str, options: list[str], flags: Flags, checkpoints: CheckpointFiles) -> list[str]:
    """Put the settings of the checkpoint before the options, so that the user's options take precedence.

    So a network is tested as it was built and on the data that it was trained on. To resume a training, also add all
    settings of its run, such as the Trainer's, from the run's `config.yaml`.
    """
    path = flags.checkpoint
    if path is None:
        return options
    if path not in NEWEST:
        return [*_settings_of(subcommand, path, options, flags, checkpoints), *options]
    found = find(path, flags.root, flags.experiment)
    if found is None and subcommand != "fit":
        raise InputError(f"`--ckpt_path` (={path}): there is no run of {flags.experiment} in {flags.root}")
    if found is None:
        rank_zero_info(f"No run of {flags.experiment} in {flags.root} to resume: starting a new one.")
        if any(option.startswith("--trainer.logger") for option in options):
            rank_zero_info("Runs with loggers of your own are not searched for: give the file of a checkpoint.")
        return [*options, "--ckpt_path=null"]
    rank_zero_info(f"`--ckpt_path={path}`: {'resuming from' if subcommand == 'fit' else subcommand} {found}")
    return [*_settings_of(subcommand, str(found), options, flags, checkpoints), *options, f"--ckpt_path={found}"]


def _settings_of(
    subcommand: str, path: str, options: list[str], flags: Flags, checkpoints: CheckpointFiles
) -> list[str]:
    """Return the settings of the run to resume, if there is one, and those in the checkpoint, as options."""
    checkpoint, folder = checkpoints.read_ahead(path), Path(path).parent
    folder = folder if folder.name else folder.resolve()
    experiment = experiment_in(checkpoint)
    named = {"experiment": experiment} if experiment else {}
    run = read_run(folder.parent) if subcommand == "fit" and folder.name == "checkpoints" else {}
    found = [settings for settings in (run, settings_in(checkpoint) | named) if settings]
    appended = list(_appended(options))
    for settings in found:
        for name, items in appended:
            _leave_out_appended(settings, name, items)
        for name in flags.own:
            _holder(settings, "data").pop(REPLACED[name], None)
    return [f"--config={dump_settings(settings, in_a_line=True)}" for settings in found]


def _appended(options: list[str]) -> Iterator[tuple[str, Any]]:
    """Yield the name of each list that the options append to, by `--name+=items` or `--name+ items`, and the items."""
    for option, following in zip(options, [*options[1:], ""], strict=True):
        name, _, items = option.removeprefix("--").partition("+=")
        if option.startswith("--") and "+=" in option:
            yield name, _value(items)
        elif option.startswith("--") and option.endswith("+"):
            yield name.removesuffix("+"), _value(following)


def _leave_out_appended(settings: dict[str, Any], path: str, items: Any) -> None:
    """Leave out of a list what a command appends to it, which may be the command of the run again.

    Those are the objects of the same classes; or all, if the list is none of objects.
    """
    parents, _, name = path.rpartition(".")
    holder = _holder(settings, parents)
    appended = {_class_of(item) for item in (items if isinstance(items, list) else [items])}
    found = holder.pop(name, None)
    listed = found if isinstance(found, list) else []
    objects = [item for item in listed if isinstance(item, dict) and "class_path" in item]
    if others := [item for item in objects if _class_of(item) not in appended]:
        holder[name] = others


def _holder(settings: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the part of the settings at a path; of an object, its arguments. Nothing is found in what isn't there."""
    for name in filter(None, path.split(".")):
        found = settings.get(name)
        settings = found if isinstance(found, dict) else {}
        settings = settings.get("init_args") or settings
    return settings


def _class_of(item: Any) -> str:
    """Name the class of an object in settings, which may be given by its name alone, without the module's."""
    return str(item.get("class_path") if isinstance(item, dict) else item).rpartition(".")[2]
