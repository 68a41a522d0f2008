"""What was found in a user's own images: see `read_images`, which fills it."""

from __future__ import annotations

import os
from typing import NamedTuple

from torch import Tensor


class OwnSequence(NamedTuple):
    """Digits, uint8 `(T, 28, 28)`, and the image that each is from: its path, with the frame where it has several."""

    digits: Tensor
    sources: list[str]


class Skipped(NamedTuple):
    """A file, or a frame of one, that could not be read, and what is wrong with it: `is blank`."""

    source: str
    reason: str


class OwnDigits(NamedTuple):
    """All that was found.

    Attributes:
        sequences: The digits of all images with one digit, in order, are the first; each image with several is
            one by itself.
        skipped: What should have been read and could not be.
        others: Files in the folders that are no images by their names.
    """

    sequences: list[OwnSequence]
    skipped: list[Skipped]
    others: list[str]

    def names(self) -> list[list[str]]:
        """The source of each digit of each sequence, without the folder that all of them are in."""
        sources = [sequence.sources for sequence in self.sequences]
        folders = {os.path.dirname(source) for of_steps in sources for source in of_steps}
        try:
            common = os.path.join(os.path.commonpath(folders), "")
        except ValueError:  # some are absolute, or on another drive
            common = ""
        return [[source.removeprefix(common) for source in of_steps] for of_steps in sources]

    def left_out(self) -> list[str]:
        """Lines that name what could not be read, and why, and what else was in the folders."""
        skipped = [f"Skipped: {source} {reason}" for source, reason in self.skipped]
        return skipped + ([f"No images by their names: {', '.join(self.others)}"] if self.others else [])
