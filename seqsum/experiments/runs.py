"""Trainings by the command line that users have, each in a folder of its own, none done twice."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from seqsum.cli import main as train
from seqsum.console import print_line
from seqsum.errors import InputError
from seqsum.files import write_atomically
from seqsum.versions import versions

LISTED = "arguments.json"


class Run(NamedTuple):
    """A training that is done.

    Attributes:
        folder: Where everything of it is.
        results: What is in its `results.json`.
    """

    folder: Path
    results: dict[str, Any]

    @property
    def checkpoint(self) -> Path:
        """The best one."""
        return self.folder / "checkpoints/best.ckpt"


def accuracies(runs: list[Run]) -> list[float]:
    """Of the test split, over what the objective scores."""
    return [run.results["test"]["test/accuracy"] for run in runs]


def spread(found: list[float]) -> dict[str, str]:
    """What a table says of the accuracies of several runs."""
    return {"accuracy": f"{mean(found):.4f}", "lowest to highest": f"{min(found):.4f} to {max(found):.4f}"}


def trained(root: Path, name: str, arguments: list[str]) -> Run:
    """Run `python train.py` with these arguments below `root/name`, unless that is done already.

    A training that was interrupted goes on from its last checkpoint, or starts anew if there is none.

    Args:
        root: Folder of the experiment.
        name: Of the run.
        arguments: Of `train.py`; but for the folder and the progress bar, which are given here.

    Raises:
        InputError: The folder holds a run with other arguments.
    """
    folder = root / name
    claim(folder, arguments)
    if (run := finished(folder)) is None:
        print_line(f"Training {name}: python train.py {' '.join(arguments)}")
        here = [f"--experiment={name}", f"--trainer.default_root_dir={root}", "--trainer.enable_progress_bar=false"]
        train([*arguments, *here, *going_on(folder)])
        run = finished(folder)
    if run is None:
        raise RuntimeError(f"the training in {folder} has left no results.json")
    return run


def tested(root: Path, run: Run, *arguments: str) -> Run:
    """Run `python train.py test` on the best checkpoint of a training, unless that is done already.

    Args:
        root: Folder of the experiment.
        run: The training.
        arguments: Of `train.py`; the last part of each is added to the run's name.
    """
    name = "_".join([run.folder.parent.name, *(argument.rpartition("=")[2] for argument in arguments)])
    folder = root / f"{name}-test"  # the command line's own name for it
    found = finished(folder)
    if found is None:
        here = [f"--experiment={name}", f"--trainer.default_root_dir={root}", "--trainer.enable_progress_bar=false"]
        train(["test", f"--ckpt_path={run.checkpoint}", *arguments, *here])
        found = finished(folder)
    if found is None:
        raise RuntimeError(f"the test in {folder} has left no results.json")
    return found


def claim(folder: Path, arguments: list[str]) -> None:
    """Note the arguments of a run, so that its results are never taken for those of another."""
    listed = folder / LISTED
    if not listed.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(listed, json.dumps(arguments, indent=2) + "\n")
    elif (before := json.loads(listed.read_text(encoding="utf-8"))) != arguments:
        raise InputError(
            f"`--output` (={folder.parent}) holds a run of {folder.name} with other settings "
            f"({' '.join(before)}, not {' '.join(arguments)}): name another folder"
        )


def finished(folder: Path) -> Run | None:
    """The last run in a folder, if it got as far as its results."""
    for version in reversed(versions(folder)):
        if (results := version / "results.json").exists():
            return Run(version, json.loads(results.read_text(encoding="utf-8")))
    return None


def going_on(folder: Path) -> list[str]:
    """The argument by which a training that was interrupted goes on, if it left a checkpoint."""
    for version in reversed(versions(folder)):
        if (checkpoint := version / "checkpoints/last.ckpt").exists():
            return [f"--ckpt_path={checkpoint}"]
    return []
