"""A user's own curve, from a CSV file."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from reprlib import repr as shortened

import torch
from torch import Tensor

from seqsum.data.text.tokens import NotTextError, decode
from seqsum.errors import InputError


def read_samples(path: Path) -> Tensor:
    """Read a curve with one sample per line; the first line may be a heading.

    Returns:
        `(T,)`, at least two samples.

    Raises:
        InputError: The file can't be read, or a line is not a finite number; the message names the line.
    """
    try:
        text = decode(path.read_bytes())
    except NotTextError as error:
        raise InputError(f"`--data.curve` (={path}) {error}") from error
    except OSError as error:
        raise InputError(f"`--data.curve` (={path}) can't be read as a text file: {error}") from error
    reader = csv.reader(text.splitlines())
    try:
        lines = [(reader.line_num, fields) for fields in reader if fields]
    except csv.Error as error:  # too many characters, perhaps all samples in one line
        raise InputError(f"`--data.curve` (={path}) must have one number in line {reader.line_num}: {error}") from error
    if lines and len(lines[0][1]) == 1 and _number(lines[0][1][0]) is None:
        lines = lines[1:]  # a heading
    samples = torch.tensor([_sample(path, number, fields) for number, fields in lines])
    if len(samples) < 2:
        raise InputError(f"`--data.curve` (={path}) must hold at least 2 samples, one a line, not {len(samples)}")
    if not samples.isfinite().all():
        number, fields = lines[int(samples.isfinite().int().argmin())]
        most = torch.finfo(samples.dtype).max
        raise InputError(
            f"`--data.curve` (={path}) must have no number above {most:.2g}, as {fields[0]} in line {number}"
        )
    return samples


def _sample(path: Path, number: int, fields: list[str]) -> float:
    value = _number(fields[0]) if len(fields) == 1 else None
    if value is None or not math.isfinite(value):
        given = shortened(",".join(fields))
        raise InputError(f"`--data.curve` (={path}) must have one number in line {number}, not {given}")
    return value


def _number(field: str) -> float | None:
    try:
        return float(field)
    except ValueError:
        return None
