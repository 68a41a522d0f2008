"""What data of labelled images offer, so that objectives can show images and names instead of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor

from seqsum.data.base import Split
from seqsum.data.own import OwnDigits


@runtime_checkable
class LabelledImages(Protocol):
    """A DataModule of single images with one label each; any class with these members is one.

    Attributes:
        own: A user's own images.
    """

    @property
    def own(self) -> OwnDigits: ...

    def class_names(self) -> Sequence[str]:
        """Return the names of the classes."""

    def as_images(self, inputs: Tensor) -> Tensor:
        """Turn inputs `(B, 1, C, Y, X)` back into images `(B, C, Y, X)` from 0 to 1."""

    def images_of(self, split: Split, rows: Tensor) -> Tensor:
        """Return images of a split by their rows `(M,)`, `(M, C, Y, X)` from 0 to 1, on the CPU."""
