"""Folders `version_0`, `version_1` …, one a run, none of which is used twice."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

PREFIX = "version_"


def number_of(version: Path) -> int:
    """Which run of its folder it is."""
    return int(version.name.removeprefix(PREFIX))


def versions(folder: Path) -> list[Path]:
    """Those there are, in the order in which they were made."""
    numbered = (path for path in folder.glob(f"{PREFIX}*") if path.name.removeprefix(PREFIX).isdecimal())
    return sorted(numbered, key=number_of)


def next_version(folder: Path) -> Path:
    """The first that is not there; it is not made."""
    return next(place for n in count() if not os.path.lexists(place := folder / f"{PREFIX}{n}"))


def claim_version(folder: Path) -> Path:
    """Make the first that is not there; two runs started at once get one each."""
    while True:
        place = next_version(folder)
        try:
            place.mkdir(parents=True)
        except FileExistsError:
            continue  # another run was faster
        return place
