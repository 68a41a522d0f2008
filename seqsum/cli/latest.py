"""Find the checkpoint that `--ckpt_path=last` or `best` refers to."""

from __future__ import annotations

from pathlib import Path

from seqsum.errors import InputError
from seqsum.versions import runs_of, started

NEWEST = ("last", "best")  # values of `--ckpt_path` that refer to the newest run


def find(name: str, root: str, experiment: str) -> Path | None:
    """Find `NAME.ckpt` of the run of an experiment that was started last; None if there is no run with checkpoints.

    Raises:
        InputError: The newest run has the other one alone.
    """
    there = [
        path for run in runs_of(Path(root, experiment)) for each in NEWEST if (path := _place(run, each)).is_file()
    ]
    if not there:
        return None
    newest = max(there, key=started)  # of whichever name: both are of the same training
    found = newest.with_name(f"{name}.ckpt")
    if not found.is_file():
        raise InputError(f"`--ckpt_path` (={name}): the newest run has no {found.name}, but {newest}")
    return found


def _place(run: Path, name: str) -> Path:
    return run / f"checkpoints/{name}.ckpt"
