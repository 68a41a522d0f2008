"""Finds a user's own files: a file, the files of a folder, or those that match a pattern."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import NamedTuple, Protocol

from seqsum.data.own import Skipped

LONGEST_PATTERN = 1_000  # characters: `glob` recurses at each slash


class Kind(NamedTuple):
    """A kind of files, such as `image`, and the suffixes of those that are read from a folder.

    A file that the user names may have any suffix.
    """

    name: str
    suffixes: tuple[str, ...]


class OwnFiles(Protocol):
    """Notes about a user's files; see `OwnDigits` and `OwnTexts`."""

    @property
    def skipped(self) -> list[Skipped]:
        """What could not be read."""

    @property
    def others(self) -> list[str]:
        """What else is in the given folders: files with names of other kinds, and folders."""


def is_pattern(path: str) -> bool:
    """Whether a path is a pattern such as `digits/*.png`, of a length that `glob` can read."""
    return has_magic(path) and len(path) <= LONGEST_PATTERN


def find_files(path: str, kind: Kind, found: OwnFiles) -> list[Path] | None:
    """List the files that a path or pattern names; None if nothing has that name.

    Files of a folder or a pattern are sorted by name, `img2` before `img10`. Hidden files of a folder are left out.
    What else is in a folder, and that it holds no file of the kind or can't be read, is noted in `found`.
    """
    if os.path.exists(path):
        return _files(Path(path), kind, found, named=[])
    matches = [Path(match) for match in sorted(glob(path, recursive=True), key=_natural)] if is_pattern(path) else []
    if not matches:
        return None
    # `**` matches a folder and also what is in it, and follows links in circles
    by_place: dict[tuple[str, str], Path] = {}  # a file may be linked to on purpose, more than once
    for file in (file for match in matches for file in _files(match, kind, found, matches)):
        by_place.setdefault((os.path.realpath(file.parent), file.name), file)
    files = [*by_place.values()]
    if not files:
        skip(found, path, f"matches no {kind.name} ({', '.join(kind.suffixes)})")
    return files


def _files(path: Path, kind: Kind, found: OwnFiles, named: Sequence[Path]) -> list[Path]:
    """List the files of a folder; a file is returned as it is. What a pattern has `named` by itself isn't noted."""
    if not path.is_dir():
        return [path]
    try:
        inside = [entry for entry in path.iterdir() if not entry.name.startswith(".")]
        inside.sort(key=lambda entry: _natural(entry.name))
        files = [entry for entry in inside if entry.name.lower().endswith(kind.suffixes) and not entry.is_dir()]
    except OSError as error:
        skip(found, path, f"can't be read ({error.strerror})")
        return []
    if not files and not named:
        skip(found, path, f"holds no {kind.name} ({', '.join(kind.suffixes)})")
    others = (entry for entry in inside if entry not in [*files, *named])
    found.others.extend(printable(f"{entry}/" if entry.is_dir() else entry) for entry in others)
    return files


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Return a key that sorts `img2` before `img10`."""
    parts = re.split(r"(\d+)", name)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def skip(found: OwnFiles, source: str | Path, reason: str) -> None:
    """Note what could not be read, and why."""
    found.skipped.append(Skipped(printable(source), printable(reason)))


def printable(text: str | Path) -> str:
    """Escape the bytes of a file name that are not UTF-8: consoles and figures reject Python's surrogates for them."""
    return str(text).encode(errors="backslashreplace").decode()
