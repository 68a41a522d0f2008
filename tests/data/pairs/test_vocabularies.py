from __future__ import annotations

import pytest

from seqsum.data.pairs.sentence_pairs import SentencePairs
from seqsum.data.pairs.vocabularies import Splitting
from seqsum.errors import InputError


@pytest.mark.parametrize(
    ("training", "min_count", "side"),
    [
        (SentencePairs(["ein hund"], ["a dog"]), 2, "source"),
        (SentencePairs(["ein hund", "ein mann"], ["a dog", "one man"]), 2, "target"),
        (SentencePairs(["ein ein hund"] * 3, ["a dog"] * 3), 7, "source"),
    ],
)
def test_a_language_without_a_word_that_is_frequent_enough_is_named(training, min_count, side):
    count = len(training.source)
    with pytest.raises(
        InputError, match=rf"`--data\.min_count` \(={min_count}\): no word of the {side} .* \({count}\)"
    ):
        Splitting("words", True, (50, 50), min_count).learn(training)
    found = Splitting("words", True, (50, 50), 1).learn(training)
    assert found.source.vocabulary.words[4:6] == ["ein", "hund"]


@pytest.mark.parametrize("lower_case", [True, False])
def test_restored_vocabularies_read_as_the_saved_ones(lower_case):
    splitting = Splitting("words", lower_case, (50, 50), 1)
    learned = splitting.learn(SentencePairs(["Ein Hund", "ein Hund"], ["A dog", "a dog"]))
    restored = splitting.restore(splitting.save(learned))
    for saved, read in zip(learned, restored, strict=True):
        assert saved.encode("Ein Hund A dog a Dog") == read.encode("Ein Hund A dog a Dog")
