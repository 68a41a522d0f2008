"""Reads a user's own image files into sequences of digits, and notes what could not be read, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from seqsum.data.images.frames import UnreadableError, read_frames
from seqsum.data.images.segment import cut_digits, cut_squares
from seqsum.data.own import OwnDigits, OwnSequence
from seqsum.data.own_files import Kind, find_files, is_pattern, printable, skip
from seqsum.errors import InputError
from seqsum.paths import expand_home

IMAGE = Kind("image", (
    ".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".avif", ".heic", ".heif",
))  # fmt: skip


def read_images(paths: Sequence[str], digits_only: bool = True) -> OwnDigits:
    """Read image files, folders of images, and patterns such as `digits/*.png`; `~` is the user's home.

    Args:
        paths: Read in this order. Files of a folder or a pattern are sorted by name, `img2` before `img10`.
        digits_only: False if images show other things than digits: they are read as they are, see `cut_squares`.

    Raises:
        InputError: No digit could be read. The message gives the reason for each file.
    """
    found = OwnDigits([], [], [])
    singles: list[OwnSequence] = []
    for path in paths:
        for file in _files(path, found):
            for image in _read_file(file, cut_digits if digits_only else cut_squares, found):
                (singles if len(image.digits) == 1 else found.sequences).append(image)
    if singles:
        digits, sources = zip(*singles, strict=True)
        found.sequences.insert(0, OwnSequence(torch.cat(digits), [source for (source,) in sources]))
    if not found.sequences:
        reasons = "\n".join(f"{source} {reason}" for source, reason in found.skipped)
        raise InputError(f"`--data.images`: {reasons}")
    return found


def _files(given: str, found: OwnDigits) -> list[Path]:
    """List the files of a path or a pattern; note in `found` if there are none."""
    path = expand_home(given)
    if (files := find_files(path, IMAGE, found)) is None:
        skip(found, path, "matches no file" if is_pattern(path) else "does not exist")
    return files or []


def _read_file(path: Path, cut: Callable[[np.ndarray], list[np.ndarray]], found: OwnDigits) -> Iterator[OwnSequence]:
    """Yield the digits into which each frame is cut; frames without any are noted as skipped."""
    try:
        for frame in read_frames(path):
            source = printable(path) if frame.is_only else f"{printable(path)}, frame {frame.number}"
            try:
                digits = torch.from_numpy(np.stack(cut(frame.grey)))
                yield OwnSequence(digits, [source] * len(digits))
            except UnreadableError as error:
                skip(found, source, str(error))
    except UnreadableError as error:
        skip(found, path, str(error))
