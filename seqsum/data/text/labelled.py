"""What data of labelled texts offer, so that objectives can show words and names instead of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor

from seqsum.data.base import Batch, Split
from seqsum.data.text.own import OwnText, OwnTexts


@runtime_checkable
class LabelledTexts(Protocol):
    """A DataModule of texts with one label each; any class with these members is one.

    Attributes:
        label_names: Names of the labels.
        own: A user's own texts.
    """

    @property
    def label_names(self) -> Sequence[str]: ...

    @property
    def own(self) -> OwnTexts: ...

    def text_of(self, split: Split, row: int) -> OwnText:
        """Return the words and the name of a text of a split."""

    def words_read(self, text: OwnText) -> list[str]:
        """Return the words of a text that the network reads."""

    def part_read(self, text: OwnText) -> str:
        """Say which part of a text the network reads, such as `the last 400 of 1,234 words`."""

    def known(self, words: Sequence[str]) -> list[bool]:
        """Return for each word whether it is in the network's vocabulary."""

    def as_batch(self, text: OwnText) -> Batch:
        """Make an unlabelled batch of one text, inputs `(1, T)`; the id 0 is padding."""

    def lengths_read(self, split: Split) -> Tensor:
        """Return how many words of each text of a split the network reads, `(M,)`, on the CPU."""
