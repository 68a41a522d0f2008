"""A user's own curve, from a CSV file."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import torch
from torch import Tensor

from seqsum.errors import InputError


def read_samples(path: Path) -> Tensor:
    """Read a curve with one sample per line; the first line may be a heading.

    Returns:
        `(T,)`, at least two samples.

    Raises:
        InputError: The file can't be read, or a line is not a number; the message names the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # accepts the byte order mark that spreadsheets write
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"`--data.curve` (={path}) can't be read as a text file: {error}") from error
    lines = [(number, fields) for number, fields in enumerate(csv.reader(text.splitlines()), start=1) if fields]
    if lines and len(lines[0][1]) == 1 and _number(lines[0][1][0]) is None:
        lines = lines[1:]  # a heading
    samples = [_sample(path, number, fields) for number, fields in lines]
    if len(samples) < 2:
        raise InputError(f"`--data.curve` (={path}) must hold at least 2 samples, one a line, not {len(samples)}")
    return torch.tensor(samples)


def _sample(path: Path, number: int, fields: list[str]) -> float:
    value = _number(fields[0]) if len(fields) == 1 else None
    if value is None or not math.isfinite(value):
        raise InputError(f"`--data.curve` (={path}) must have one number in line {number}, not {','.join(fields)!r}")
    return value


def _number(field: str) -> float | None:
    try:
        return float(field)
    except ValueError:
        return None
