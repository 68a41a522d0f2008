"""Small data of texts, and a network whose words have known weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seqsum.data import Batch
from seqsum.data.base import SequenceData, unlabelled
from seqsum.data.text.own import OwnText, OwnTexts

WORDS = {"good": 2, "bad": 3}  # ids; others are unknown, 1
WEIGHTS = (0.25, 0.5, 2.0, -3.0, 0.0, 0.0)  # of padding, unknown, good, bad, and of ids that no word has


class Texts(SequenceData):
    """Texts that are a user's own and the test split alike."""

    dataset = "small"
    label_names = ("no", "yes")
    own: OwnTexts

    def __init__(self, texts: list[str], steps: int = 0, before: bool = False, masked: bool = True) -> None:
        super().__init__()
        self.own = OwnTexts([OwnText(text.split(), f"{place}.txt") for place, text in enumerate(texts)], [], [])
        self.steps, self.before, self.masked = steps, before, masked

    def text_of(self, split: str, row: int) -> OwnText:
        return self.own.texts[row]

    def words_read(self, text: OwnText) -> list[str]:
        return text.words

    def part_read(self, text: OwnText) -> str:
        return f"all {len(text.words)} words"

    def known(self, words: list[str]) -> list[bool]:
        return [word in WORDS for word in words]

    def as_batch(self, text: OwnText) -> Batch:
        ids = [WORDS.get(word, 1) for word in text.words]
        padding = [0] * (self.steps - len(ids))
        inputs = torch.tensor([padding + ids if self.before else ids + padding])
        return unlabelled(inputs, inputs > 0 if self.masked else None)

    def lengths_read(self, split: str) -> Tensor:
        return torch.tensor([len(text.words) for text in self.own.texts])


class WeightOfWords(nn.Module):
    """Adds the weights of all words: one output whose sigmoid is the probability of label 1."""

    def forward(self, batch: Batch) -> Tensor:
        return self.by_step(batch)[:, -1:]

    def by_step(self, batch: Batch) -> Tensor:
        weights = torch.tensor(WEIGHTS)[batch.inputs]
        weights = weights if batch.mask is None else weights * batch.mask
        return weights.cumsum(1).unsqueeze(-1)
