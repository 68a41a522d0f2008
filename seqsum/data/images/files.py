"""Reads a user's own image files into sequences of digits, and notes what could not be read, and why."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from glob import glob, has_magic
from pathlib import Path

import numpy as np
import torch

from seqsum.data.images.frames import UnreadableError, read_frames
from seqsum.data.images.segment import cut_digits
from seqsum.data.own import OwnDigits, OwnSequence, Skipped
from seqsum.errors import InputError
from seqsum.paths import expand_home

# which files of a folder are read; a file that the user names may have any suffix
SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".avif", ".heic", ".heif",
)  # fmt: skip


def read_images(paths: Sequence[str], digits_only: bool = True) -> OwnDigits:
    """Read image files, folders of images, and patterns such as `digits/*.png`; `~` is the user's home.

    Args:
        paths: Read in this order. Files of a folder or a pattern are sorted by name, `img2` before `img10`.
        digits_only: False if images may show other things than digits, see `cut_digits`.

    Raises:
        InputError: No digit could be read. The message gives the reason for each file.
    """
    found = OwnDigits([], [], [])
    singles: list[OwnSequence] = []
    for path in paths:
        for file in _expand(path, found):
            for image in _read_file(file, digits_only, found):
                (singles if len(image.digits) == 1 else found.sequences).append(image)
    if singles:
        digits, sources = zip(*singles, strict=True)
        found.sequences.insert(0, OwnSequence(torch.cat(digits), [source for (source,) in sources]))
    if not found.sequences:
        reasons = "\n".join(f"{source} {reason}" for source, reason in found.skipped)
        raise InputError(f"`--data.images`: {reasons}")
    return found


def _expand(given: str, found: OwnDigits) -> list[Path]:
    """List the files of a path or a pattern; note skipped and other files in `found`."""
    path = expand_home(given)
    matches = [path] if os.path.exists(path) else sorted(glob(path, recursive=True), key=_natural)
    if not matches:
        reason = "matches no file" if has_magic(path) else "does not exist"
        _skip(found, path, reason)
    # `**` matches a folder and also what is in it
    return [*dict.fromkeys(file for match in matches for file in _files(Path(match), found))]


def _files(path: Path, found: OwnDigits) -> list[Path]:
    """List the image files of a folder; a file is returned as it is."""
    if not path.is_dir():
        return [path]
    try:
        names = sorted((file.name for file in path.iterdir()), key=_natural)
    except OSError as error:
        _skip(found, path, f"can't be read ({error.strerror})")
        return []
    images = [name for name in names if name.lower().endswith(SUFFIXES)]
    if not images:
        _skip(found, path, f"holds no image ({', '.join(SUFFIXES)})")
    found.others.extend(_printable(path / name) for name in names if name not in images and not name.startswith("."))
    return [path / name for name in images]


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Return a key that sorts `img2` before `img10`."""
    parts = re.split(r"(\d+)", name)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def _read_file(path: Path, digits_only: bool, found: OwnDigits) -> Iterator[OwnSequence]:
    """Yield the digits of each frame; frames without any are noted as skipped."""
    try:
        for frame in read_frames(path):
            source = _printable(path) if frame.is_only else f"{_printable(path)}, frame {frame.number}"
            try:
                digits = torch.from_numpy(np.stack(cut_digits(frame.grey, digits_only)))
                yield OwnSequence(digits, [source] * len(digits))
            except UnreadableError as error:
                _skip(found, source, str(error))
    except UnreadableError as error:
        _skip(found, path, str(error))


def _skip(found: OwnDigits, source: str | Path, reason: str) -> None:
    found.skipped.append(Skipped(_printable(source), _printable(reason)))


def _printable(text: str | Path) -> str:
    """Escape the bytes of a file name that are not UTF-8: consoles and figures reject Python's surrogates for them."""
    return str(text).encode(errors="backslashreplace").decode()
