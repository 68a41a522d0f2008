"""Run trainings and tests through the command line, each in its own folder and only once."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from seqsum.cli import main as train
from seqsum.console import print_line, quote
from seqsum.errors import InputError
from seqsum.files import write_atomically
from seqsum.versions import experiment_of, runs_of, versions

LISTED = "arguments.json"


class Run(NamedTuple):
    """A finished training or test.

    Attributes:
        folder: The run's folder.
        results: Content of its `results.json`.
    """

    folder: Path
    results: dict[str, Any]

    @property
    def checkpoint(self) -> Path:
        """Path of the best checkpoint."""
        return self.folder / "checkpoints/best.ckpt"


def accuracies(runs: list[Run]) -> list[float]:
    """Test accuracies of the runs."""
    return [run.results["test"]["test/accuracy"] for run in runs]


def spread(found: list[float]) -> dict[str, str]:
    """Make the table's entries for the accuracies of several runs."""
    return {"accuracy": f"{mean(found):.4f}", "lowest to highest": f"{min(found):.4f} to {max(found):.4f}"}


def training_seconds(runs: list[Run]) -> int | str:
    """Make the table's entry for the mean seconds of the trainings, without those that were interrupted."""
    found = [seconds["fit"] for run in runs if "fit" in (seconds := run.results["seconds"])]
    return round(mean(found)) if found else "–"


def logged(run: Run, name: str) -> dict[int, float]:
    """Read a metric from the `metrics.csv` of a run and of its interrupted parts, by the number of steps done."""
    found: dict[int, float] = {}
    for path in (version / "metrics.csv" for version in versions(run.folder.parent)):
        if path.exists():
            with path.open(newline="", encoding="utf-8") as lines:
                found |= {int(line["step"]) + 1: float(line[name]) for line in csv.DictReader(lines) if line.get(name)}
    return found


def trained(root: Path, name: str, arguments: list[str]) -> Run:
    """Run `python train.py` with these arguments in `root/name`, unless it has finished already.

    An interrupted training resumes from its last checkpoint, or starts again if there is none.

    Args:
        root: Folder of the experiment.
        name: Name of the run.
        arguments: Arguments of `train.py`, without the folder and the progress bar.

    Raises:
        InputError: The folder contains a run with other arguments, or these leave no results.
    """
    folder = root / name
    claim(folder, arguments)
    if (run := finished(folder)) is None:
        print_line(f"Training {name}: python train.py {' '.join(map(quote, arguments))}")
        here = [f"--experiment={name}", f"--trainer.default_root_dir={root}", "--trainer.enable_progress_bar=false"]
        train([*arguments, *here, *going_on(folder)])
        run = finished(folder)
    if run is None:
        raise InputError(f"the training in {folder} wrote no results.json, which the experiment needs")
    return run


def tested(root: Path, run: Run, *arguments: str) -> Run:
    """Run `python train.py test` with the best checkpoint of a training, unless that was done already.

    Args:
        root: Folder of the experiment.
        run: The training.
        arguments: Arguments of `train.py`; the value of each is appended to the run's name.

    Raises:
        InputError: The folder contains a test with other arguments, or these leave no results.
    """
    name = "_".join([experiment_of(run.folder.parent), *(argument.rpartition("=")[2] for argument in arguments)])
    folder = root / f"{name}-test"  # as the command line names it
    claim(folder, list(arguments))
    found = finished(folder)
    if found is None or not _is_test_of(found, run.checkpoint):
        here = [f"--experiment={name}", f"--trainer.default_root_dir={root}", "--trainer.enable_progress_bar=false"]
        train(["test", f"--ckpt_path={run.checkpoint}", *arguments, *here])
        found = finished(folder)
    if found is None:
        raise InputError(f"the test in {folder} wrote no results.json, which the experiment needs")
    return found


def _is_test_of(run: Run, checkpoint: Path) -> bool:
    """Whether a test was of this checkpoint as it is now."""
    after = (run.folder / "results.json").stat().st_mtime >= checkpoint.stat().st_mtime
    return after and Path(run.results["checkpoint"]).resolve() == checkpoint.resolve()


def claim(folder: Path, arguments: list[str]) -> None:
    """Record the arguments of a run, or refuse a folder that contains a run with other arguments.

    A run that was refused for its arguments has left no version there: they may be mended.
    """
    listed = folder / LISTED
    if not (listed.exists() and runs_of(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(listed, json.dumps(arguments, indent=2) + "\n")
    elif (before := json.loads(listed.read_text(encoding="utf-8"))) != arguments:
        raise InputError(
            f"`--output` (={folder.parent}) contains a run of {folder.name} with other settings "
            f"({' '.join(before)}, not {' '.join(arguments)}): name another folder"
        )


def finished(folder: Path) -> Run | None:
    """Return the newest run in a folder that has results, if any."""
    for version in reversed(runs_of(folder)):
        if (results := version / "results.json").exists():
            found = json.loads(results.read_text(encoding="utf-8"))
            test = {name: math.nan if value is None else value for name, value in found["test"].items()}
            return Run(version, found | {"test": test})
    return None


def going_on(folder: Path) -> list[str]:
    """Return the argument that resumes an interrupted training, or none if it left no checkpoint."""
    for version in reversed(runs_of(folder)):
        if (checkpoint := version / "checkpoints/last.ckpt").exists():
            return [f"--ckpt_path={checkpoint}"]
    return []
