"""Sentences and their translations: Multi30k's files, a user's own pairs, and made-up ones in their place."""

from seqsum.data.pairs.obtain import obtain_pairs
from seqsum.data.pairs.sentence_pairs import ParallelText, SentencePair, SentencePairs

__all__ = ["ParallelText", "SentencePair", "SentencePairs", "obtain_pairs"]
