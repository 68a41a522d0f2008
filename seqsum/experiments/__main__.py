"""Run the experiments that compare several networks or trainings."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch

from seqsum.console import errors_in_a_line, write_any_character
from seqsum.errors import InputError
from seqsum.experiments import (
    copy_memory,
    count,
    counting,
    gradients,
    initial_states,
    orders,
    parts,
    pretraining,
    reviews,
    rows,
    sine,
    starts,
    translation,
    words,
)
from seqsum.options import at_least
from seqsum.paths import expand_home

EXPERIMENTS = {
    "gradients": gradients,
    "memory": copy_memory,
    "sine": sine,
    "rows": rows,
    "initial_states": initial_states,
    "reviews": reviews,
    "count": count,
    "counting": counting,
    "parts": parts,
    "orders": orders,
    "starts": starts,
    "pretraining": pretraining,
    "translation": translation,
    "words": words,
}
ALONE = ("gradients", "orders")  # train nothing by `train.py`, and so read no configurations


def main(arguments: list[str] | None = None) -> None:
    """Run one experiment: print its table, and write its figures and numbers into its folder."""
    write_any_character()
    with errors_in_a_line():
        options = expand_home(make_parser().parse_args(arguments))
        if options.experiment not in ALONE:
            check_place(Path(getattr(options, "config", "configs")))
        check_once(options)
        options.output = options.output or Path("logs/experiments") / options.experiment
        check_folder(options.output)
        if options.threads:
            torch.set_num_threads(options.threads)
        EXPERIMENTS[options.experiment].run(options)


def check_place(configurations: Path) -> None:
    """Check that the configurations of the trainings are there, before hours of work that need them at last.

    Raises:
        InputError: They are not in the current folder.
    """
    if not configurations.exists():
        raise InputError(f"{configurations} is not in {Path.cwd()}: run experiments in the folder of the repository")


def check_once(options: argparse.Namespace) -> None:
    """Check that no run would be counted twice.

    Raises:
        InputError: An option names the same value twice, or the flags of all trainings have a seed.
    """
    for name, values in vars(options).items():
        if not isinstance(values, list):
            continue
        flags = [value.partition("=")[0] for value in values if isinstance(value, str) and value.startswith("--")]
        if "--seed_everything" in flags:
            raise InputError("`--seed_everything` can't be given to all trainings: `--seeds` names their seeds")
        if not flags and (twice := [value for value in values if values.count(value) > 1]):
            raise InputError(f"`--{name.replace('_', '-')}` names {twice[0]} twice")


def check_folder(path: Path) -> None:
    """Check that the folder of the results can be made, before any work.

    Raises:
        InputError: It can't.
    """
    there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not there.is_dir():
        raise InputError(f"`--output` (={path}) can't be a folder: {there} is a file")
    if not os.access(there, os.W_OK):
        raise InputError(f"`--output` (={path}) can't be written: {there} is read-only")


def make_parser() -> argparse.ArgumentParser:
    """Make a parser with one command for each experiment."""
    parser = argparse.ArgumentParser(prog="python -m seqsum.experiments", description=__doc__)
    commands = parser.add_subparsers(dest="experiment", required=True)
    for name, experiment in EXPERIMENTS.items():
        command = commands.add_parser(name, help=(experiment.__doc__ or "").strip(), description=experiment.__doc__)
        experiment.add_arguments(command)
        command.add_argument(
            "--threads", action=at_least(1), help="torch's threads on the CPU; default: torch's choice"
        )
        command.add_argument("--output", type=Path, help="folder of the results; default: logs/experiments/NAME")
    return parser


if __name__ == "__main__":
    main()
