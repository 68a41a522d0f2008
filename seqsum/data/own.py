"""What was found in a user's own input, for `predict`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple, Protocol

from torch import Tensor

OWN_INPUTS = ("images", "curve", "texts")  # arguments of DataModules for a user's own input
REPLACED = {"pairs": "dataset"}  # an argument for a user's own data, and the one for ready data that it replaces


class OwnInput(Protocol):
    """What was found in a user's own files."""

    @property
    def skipped(self) -> Sequence[Skipped]:
        """What could not be read."""

    def left_out(self) -> list[str]:
        """Lines that name what was left out, and why."""


class Nothing(NamedTuple):
    """Nothing, in DataModules that read no files of a user."""

    skipped: tuple[Skipped, ...] = ()

    def left_out(self) -> list[str]:
        """Nothing was left out."""
        return []


class OwnSequence(NamedTuple):
    """Digits, uint8 `(T, 28, 28)`, and the source of each: its image's path, and the frame if there are several."""

    digits: Tensor
    sources: list[str]


class Skipped(NamedTuple):
    """A file, or a frame of one, that could not be read, and the reason, such as `does not exist`."""

    source: str
    reason: str


class OwnDigits(NamedTuple):
    """All sequences found in a user's images, and what could not be read.

    Attributes:
        sequences: First, if there are any, the images with a single digit as one sequence, in order; then one
            sequence for each image with several digits.
        skipped: Files and frames that could not be read.
        others: Files in the given folders whose names are not those of images.
    """

    sequences: list[OwnSequence]
    skipped: list[Skipped]
    others: list[str]

    def names(self) -> list[list[str]]:
        """Return the source of each digit of each sequence, without the folder that all share."""
        sources = [sequence.sources for sequence in self.sequences]
        folders = {os.path.dirname(source) for of_steps in sources for source in of_steps}
        try:
            common = os.path.join(os.path.commonpath(folders), "")
        except ValueError:  # some are absolute, or on another drive
            common = ""
        return [[source.removeprefix(common) for source in of_steps] for of_steps in sources]

    def names_of_first(self, count: int) -> list[str]:
        """Return the sources of the first digits of all sequences; a flag of the Trainer may limit those read."""
        return [*chain.from_iterable(self.names())][:count]

    def left_out(self) -> list[str]:
        """Lines that name what could not be read, and why, and what else was in the folders."""
        skipped = [f"Skipped: {source} {reason}" for source, reason in self.skipped]
        return skipped + ([f"Not images, by their names: {', '.join(self.others)}"] if self.others else [])
