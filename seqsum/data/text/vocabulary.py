"""Words and their ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

import torch
from torch import Tensor

PADDING, UNKNOWN = 0, 1  # ids of the places that a text doesn't fill, and of all words that are not in the vocabulary
START, END = 2, 3  # ids of the start and the end of a sentence that is written, in vocabularies with `WRITTEN`
SPECIAL = ("<padding>", "<unknown>")
WRITTEN = (*SPECIAL, "<start>", "<end>")


class Vocabulary:
    """The known words. The id of a word is its place in the list; the first two ids are `PADDING` and `UNKNOWN`.

    Args:
        words: All words but the special ones, the most frequent first.
        special: The special ones, which come first: `SPECIAL`, or `WRITTEN` for sentences that a network writes.
    """

    def __init__(self, words: Sequence[str], special: Sequence[str] = SPECIAL) -> None:
        self.special = tuple(special)
        self.words = [*special, *words]

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def ids(self) -> dict[str, int]:
        """Ids by word."""
        return {word: number for number, word in enumerate(self.words)}

    def encode(self, words: Iterable[str]) -> list[int]:
        """Look up the ids of words, `UNKNOWN` for those that are not in the vocabulary."""
        return [self.ids.get(word, UNKNOWN) for word in words]

    def most_frequent(self, size: int) -> Vocabulary:
        """Return the vocabulary of the first `size` ids, which count the special ones."""
        return Vocabulary(self.words[len(self.special) : size], self.special)

    def translation(self, other: Vocabulary) -> Tensor:
        """Return for each id the id that another vocabulary gives to the same word, int32 `(V,)`."""
        return torch.tensor([PADDING, *other.encode(self.words[PADDING + 1 :])], dtype=torch.int32)
