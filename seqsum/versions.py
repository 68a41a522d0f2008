"""Numbered folders `version_0`, `version_1`, …: a new one for each run."""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import count
from pathlib import Path

from seqsum.errors import InputError

PREFIX = "version_"
STAND_INS = ("rendered", "made")  # datasets that stand in for real ones; the folders of their runs end in these names


def number_of(version: Path) -> int:
    """Return the number of a version folder."""
    return int(version.name.removeprefix(PREFIX))


def versions(folder: Path) -> list[Path]:
    """List the existing version folders by number."""
    numbered = (path for path in folder.glob(f"{PREFIX}*") if path.name.removeprefix(PREFIX).isdecimal())
    return sorted(numbered, key=number_of)


def runs_of(folder: Path) -> list[Path]:
    """List the version folders of an experiment's folder, also those of runs on data that stand in for real ones."""
    folders = folder, *(folder.with_name(f"{folder.name}-{dataset}") for dataset in STAND_INS)
    return [version for each in folders for version in versions(each)]


def started(checkpoint: Path) -> int:
    """Return when the run of a checkpoint was started, in nanoseconds: its settings are written then.

    Checkpoints are written later, so the newest of them may be of an older run that still goes on.
    """
    settings = checkpoint.parent.parent / "config.yaml"
    return (settings if settings.is_file() else checkpoint).stat().st_mtime_ns


def experiment_of(folder: Path) -> str:
    """Return the name of the experiment whose versions a folder contains."""
    name, _, dataset = folder.name.rpartition("-")
    return name if dataset in STAND_INS else folder.name


def next_version(folder: Path) -> Path:
    """Return the first version folder that doesn't exist, without making it."""
    return next(place for n in count() if not os.path.lexists(place := folder / f"{PREFIX}{n}"))


def claim_version(folder: Path) -> Path:
    """Make the first version folder that doesn't exist; two runs started at once get one each.

    Raises:
        InputError: The folder can't be made, since a file has its name or it is not the user's.
    """
    place = next_version(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            with suppress(FileExistsError):  # another run has just made it
                place.mkdir()
                return place
            place = next_version(folder)
    except OSError as error:
        raise InputError(f"the folder {place} can't be made: {error.strerror}") from error
