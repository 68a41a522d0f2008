"""Sentences with their translations, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from seqsum.data.base import Split


class SentencePair(NamedTuple):
    """A sentence and its translation."""

    source: str
    target: str


class SentencePairs(NamedTuple):
    """The sentences of a split in both languages, in the same order."""

    source: Sequence[str]
    target: Sequence[str]


class ParallelText(NamedTuple):
    """All splits of sentence pairs.

    Attributes:
        name: `multi30k`, `made` or `pairs`.
        languages: Names of the source's and the target's language.
        splits: The pairs of each split.
    """

    name: str
    languages: SentencePair
    splits: Mapping[Split, SentencePairs]
