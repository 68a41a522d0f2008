"""Which words of a long text are read."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeVar

import torch
from torch import Tensor

from seqsum.data.counter_random import random_uniform
from seqsum.data.index_tables import IndexBatch

Beyond = Literal["keep_end", "keep_start", "drop"]
Item = TypeVar("Item")


class Pieces(NamedTuple):
    """How texts are cut.

    Attributes:
        longest: Most words of a text; None for no limit.
        beyond: Which words of a longer text are kept, or `drop` for none.
        crop: Words of a random piece, in training; None for no pieces.
    """

    longest: int | None
    beyond: Beyond
    crop: int | None

    def keeps(self, lengths: Tensor) -> Tensor:
        """Return for each text whether it is used at all, `(M,)`."""
        if self.beyond != "drop" or self.longest is None:
            return torch.ones_like(lengths, dtype=torch.bool)
        return lengths <= self.longest

    def lengths(self, lengths: Tensor, training: bool) -> Tensor:
        """Return the length of each text's piece, `(M,)`."""
        for limit in (self.longest, self.crop if training else None):
            lengths = lengths if limit is None else lengths.clamp(max=limit)
        return lengths

    def cut(self, starts: Tensor, lengths: Tensor, batch: IndexBatch) -> tuple[Tensor, Tensor]:
        """Return where the piece of each of a process's texts starts in the flat words, `(B,)`, and its length."""
        kept = self.lengths(lengths, training=False)
        if self.beyond == "keep_end":
            starts = starts + (lengths - kept)
        if batch.split != "train" or self.crop is None:
            return starts, kept
        pieces = self.lengths(kept, training=True)
        places = torch.arange(len(batch.rows), device=starts.device)[batch.share]  # among those of all processes
        share = (random_uniform(batch.seed, places, 1).squeeze(1) + 1) / 2  # from 0 to below 1
        last = kept - pieces
        return starts + (share * (last + 1)).long(), pieces

    def cut_words(self, words: list[Item]) -> list[Item]:
        """Return the words of a text that are read outside training."""
        if self.longest is None:
            return words
        return words[-self.longest :] if self.beyond == "keep_end" else words[: self.longest]
