"""What data of sentence pairs offer, so that objectives can show sentences instead of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from seqsum.data.base import Batch, Split
from seqsum.data.pairs.sentence_pairs import SentencePair
from seqsum.data.pairs.vocabularies import Vocabularies
from seqsum.data.text.own import OwnText, OwnTexts


@runtime_checkable
class TranslatedTexts(Protocol):
    """A DataModule of sentences and their translations; any class with these members is one.

    Attributes:
        languages: Names of both languages.
        vocabularies: What the network knows of each language.
        own: A user's own sentences.
    """

    @property
    def languages(self) -> SentencePair: ...

    @property
    def vocabularies(self) -> Vocabularies: ...

    @property
    def own(self) -> OwnTexts: ...

    def pair_of(self, split: Split, row: int) -> SentencePair:
        """Return the sentences of a split's row."""

    def words_read(self, text: OwnText) -> list[str]:
        """Return the pieces of a sentence that the network reads, known or not."""

    def known(self, words: Sequence[str]) -> list[bool]:
        """Return for each piece whether it is in the network's vocabulary."""

    def as_batch(self, text: OwnText) -> Batch:
        """Make an unlabelled batch of one sentence, inputs `(1, S)`: its pieces, then `END`."""
