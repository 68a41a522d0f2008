"""The vocabularies of both languages of sentence pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from seqsum.data.pairs.sentence_pairs import SentencePairs
from seqsum.data.text.sentences import SentenceVocabulary
from seqsum.data.text.subwords import SubwordVocabulary, learn_subwords
from seqsum.data.text.vocabulary import WRITTEN
from seqsum.data.text.words import WordVocabulary, learn_words
from seqsum.errors import InputError

MIN_COUNT = 2  # of words, by default


class Vocabularies(NamedTuple):
    """What the network knows of each language."""

    source: SentenceVocabulary
    target: SentenceVocabulary


class Splitting(NamedTuple):
    """What sentences are split into.

    Attributes:
        tokens: `words` or `subwords`.
        lower_case: Whether sentences are read in lower case.
        sizes: Most ids of the source's and the target's vocabulary.
        min_count: How often a word must come in the training sentences.
    """

    tokens: str
    lower_case: bool
    sizes: tuple[int, int]
    min_count: int

    def learn(self, training: SentencePairs) -> Vocabularies:
        """Make the vocabularies of training sentences, one for each language.

        Raises:
            InputError: No word comes often enough, or sentencepiece can't find subwords.
        """
        return Vocabularies(*map(self._learn, training._fields, training, self.sizes))

    def _learn(self, side: str, sentences: Sequence[str], size: int) -> SentenceVocabulary:
        if self.tokens == "subwords":
            return learn_subwords(sentences, size, self.lower_case)
        words = learn_words(sentences, size, self.min_count, self.lower_case)
        if len(words) == len(WRITTEN):
            raise InputError(
                f"`--data.min_count` (={self.min_count}): no word of the {side} comes so often in the training "
                f"sentences ({len(sentences):,}), so every word would be unknown. Lower it, or give more pairs."
            )
        return words

    def save(self, vocabularies: Vocabularies) -> dict[str, Any]:
        """Write vocabularies for a checkpoint."""
        written = {name: each.to_text() for name, each in vocabularies._asdict().items()}
        return {"tokens": self.tokens, "lower_case": self.lower_case, **written}

    def restore(self, saved: dict[str, Any]) -> Vocabularies:
        """Make the vocabularies that `save` wrote for the same pieces."""
        make: Callable[[str, bool], SentenceVocabulary]
        make = SubwordVocabulary.from_text if self.tokens == "subwords" else WordVocabulary.from_text
        return Vocabularies(*(make(saved[name], self.lower_case) for name in Vocabularies._fields))
