"""What `--ckpt_path=last` and `--ckpt_path=best` mean: a checkpoint of the experiment's newest run."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch.utilities import rank_zero_info

from seqsum.errors import InputError
from seqsum.paths import expand_home
from seqsum.resume.checkpoints import experiment_in, load_checkpoint, settings_in
from seqsum.versions import versions


def with_checkpoint(subcommand: str, options: list[str]) -> list[str]:
    """Options with what the checkpoint that they name brings along, before them, so that the user's own win.

    The settings in it, so that a network is tested on what it was trained on and as it was built. For a
    training that goes on from `last` or `best` all settings of that run too, from its `config.yaml`.

    Args:
        subcommand: `fit` can do without a checkpoint: where there is none yet, `last` starts a training, so
            that a job that is started again and again needs but one command.
        options: Of the command line.
    """
    given = _read(options)
    if given.ckpt_path is None:
        return options
    if given.ckpt_path not in ("last", "best"):
        return [*_settings(given.ckpt_path), *options]
    found = find(given.ckpt_path, given.root, given.experiment)
    if found is None and subcommand != "fit":
        raise InputError(f"`--ckpt_path` (={given.ckpt_path}) finds no run of {given.experiment} in {given.root}")
    if found is None:
        rank_zero_info(f"No run of {given.experiment} in {given.root} to go on with: a new one starts.")
        return [*options, "--ckpt_path=null"]
    rank_zero_info(f"`--ckpt_path={given.ckpt_path}`: {'going on with' if subcommand == 'fit' else subcommand} {found}")
    run = _read_yaml(str(found.parents[1] / "config.yaml")) if subcommand == "fit" else {}
    for option in options:
        if "+=" in option:  # the same command as before: its additions must not come on top of themselves
            _leave_out(run, option.removeprefix("--").partition("+=")[0].split("."))
    return [f"--config={json.dumps(run)}", *_settings(str(found)), *options, f"--ckpt_path={found}"]


def _leave_out(settings: dict[str, Any], path: list[str]) -> None:
    *parents, name = path
    for parent in parents:
        settings = settings.get(parent) or {}
    settings.pop(name, None)


def find(name: str, root: str, experiment: str) -> Path | None:
    """The `NAME.ckpt` of the experiment that was written last, on stand-in data or not; None without any."""
    runs = [run for folder in (experiment, f"{experiment}-rendered") for run in versions(Path(root, folder))]
    there = [path for run in runs if (path := run / f"checkpoints/{name}.ckpt").is_file()]
    return max(there, key=lambda path: path.stat().st_mtime_ns, default=None)


def _settings(path: str) -> list[str]:
    checkpoint = load_checkpoint(path)
    experiment = experiment_in(checkpoint)
    named = {"experiment": experiment} if experiment else {}
    return ["--config", json.dumps(settings_in(checkpoint) | named)]


def _read(options: list[str]) -> argparse.Namespace:
    """Which checkpoint of which experiment, as the command line or its files say."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--ckpt_path")
    parser.add_argument("--experiment")
    parser.add_argument("--trainer.default_root_dir", dest="root")
    parser.add_argument("-c", "--config", action="append", default=[])
    given = parser.parse_known_args(options)[0]
    for file in given.config:
        settings = _read_yaml(file)
        given.experiment = given.experiment or settings.get("experiment")
        trainer = settings.get("trainer")
        given.root = given.root or (trainer.get("default_root_dir") if isinstance(trainer, dict) else None)
    given.experiment, given.root = given.experiment or "sum", given.root or "logs"
    return given


def _read_yaml(file: str) -> dict[str, Any]:
    """What a file says; nothing if it is none or broken, which the real parser has better words for."""
    try:
        settings = yaml.safe_load(Path(file).read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return expand_home(settings) if isinstance(settings, dict) else {}
