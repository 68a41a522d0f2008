"""Sentence pairs as ids in flat tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from seqsum.data.pairs.sentence_pairs import SentencePair, SentencePairs
from seqsum.data.pairs.vocabularies import Vocabularies
from seqsum.data.text import END, UNKNOWN, Ragged
from seqsum.data.text.sentences import SentenceVocabulary


class EncodedPairs(NamedTuple):
    """The pairs of a split, with `END` behind each sentence.

    Attributes:
        source, target: Ids of all sentences of a language.
        texts: The sentences themselves.
        left_out: Number of pairs that are too long.
    """

    source: Ragged
    target: Ragged
    texts: SentencePairs
    left_out: int

    @property
    def size(self) -> int:
        """Number of pairs."""
        return len(self.texts.source)

    def to(self, device: torch.device) -> EncodedPairs:
        """Move the ids to a device."""
        return self._replace(source=self.source.to(device), target=self.target.to(device))

    def lengths(self) -> tuple[Tensor, Tensor]:
        """Return the lengths of all sources and targets, `(M,)` each, on the CPU."""
        return self.source.lengths.cpu(), self.target.lengths.cpu()

    def unknown(self) -> tuple[float, ...]:
        """Return the share of unknown words or subwords in each language, without the ends."""
        both = (self.source.values, self.target.values)
        return tuple(int((ids == UNKNOWN).sum()) / max(1, len(ids) - self.size) for ids in both)

    def text_of(self, row: int) -> SentencePair:
        """Return the sentences of a row."""
        return SentencePair(self.texts.source[row], self.texts.target[row])


def encode_pairs(pairs: SentencePairs, vocabularies: Vocabularies, longest: int | None = None) -> EncodedPairs:
    """Encode a split.

    Args:
        pairs: The sentences.
        vocabularies: Of their languages.
        longest: Most words or subwords of a sentence; pairs with a longer one are left out. None for no limit.
    """
    source, target = (_encode(*each) for each in zip(pairs, vocabularies, strict=True))
    kept = torch.arange(len(pairs.source))
    if longest is not None:
        most = torch.maximum(source.lengths, target.lengths) - 1  # without the end
        kept = (most <= longest).nonzero().squeeze(1)
    left_out = len(pairs.source) - len(kept)
    if left_out:
        rows = kept.tolist()
        pairs = SentencePairs(*([sentences[row] for row in rows] for sentences in pairs))
        source, target = source.select(kept), target.select(kept)
    return EncodedPairs(source, target, pairs, left_out)


def _encode(sentences: Sequence[str], vocabulary: SentenceVocabulary) -> Ragged:
    ids = [[*vocabulary.encode(sentence), END] for sentence in sentences]
    offsets = torch.tensor([0, *map(len, ids)]).cumsum(0)
    return Ragged(torch.tensor([number for of_one in ids for number in of_one], dtype=torch.int32), offsets)
