"""Sequences of word ids with one label each, as small data for networks that read words."""

from __future__ import annotations

import torch

from seqsum.data import Batch
from seqsum.data.drawn import DrawnSequences

WORDS = 2  # id of the first word, after padding and unknown


class FirstWord(DrawnSequences):
    """Words, up to `longest` in a sequence; the label is whether the first is in the upper half of the vocabulary."""

    dataset = "words"

    def __init__(
        self,
        vocabulary_size: int = 10,
        longest: int = 6,
        batch_size: int = 500,
        epoch_size: int = 1_000,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size, epoch_size, seed)
        self.save_hyperparameters()
        self.vocabulary_size = vocabulary_size
        self.longest = longest

    def draw(self, count: int, generator: torch.Generator) -> Batch:
        on = {"generator": generator, "device": generator.device}
        lengths = torch.randint(1, self.longest + 1, (count, 1), **on)
        mask = torch.arange(self.longest, device=generator.device) < lengths
        words = torch.randint(WORDS, self.vocabulary_size, (count, self.longest), **on).masked_fill(~mask, 0)
        targets = (words[:, :1] >= (WORDS + self.vocabulary_size) // 2).long()  # (B, 1)
        return Batch(words, targets, mask, torch.ones_like(targets, dtype=torch.bool))

    def describe(self) -> str:
        return f"up to {self.longest} words"
