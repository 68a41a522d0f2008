"""How well word vectors tell the neighbours of a word from other words."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MetricCollection

from seqsum.data.base import Batch, SequenceData
from seqsum.objectives.base import Objective
from seqsum.objectives.masks import at_least_float32, masked_mean, wide
from seqsum.objectives.metrics import StepMean, collect


class WordPrediction(Objective):
    """The loss of word2vec with negative sampling, or the full softmax if a batch has no negatives.

    With negative sampling (Mikolov et al., 2013, equation 4), a right word of score `s` costs

        −log σ(s) − k/K · Σ log σ(−sₙ)

    with the sum over the `K` negatives of its row. One that is the right word itself is left out of the sum, as in the
    authors' program. With the full softmax it costs `log Σ exp(s_w) − s`, with the sum over all words.

    Args:
        negatives: Weight of the negatives, `k`: so many of them count as much as the right word.

    Raises:
        ValueError: The weight is not above 0.
    """

    output_size = 1  # a score for each word
    monitor = "val/loss"
    monitor_mode: Literal["min", "max"] = "min"

    def __init__(self, negatives: float = 5.0) -> None:
        super().__init__()
        if not negatives > 0:
            raise ValueError(f"`negatives` (={negatives}) must be above 0")
        self.negatives = negatives

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Compute the mean over all right words, from outputs as `WordVectors` makes them: a scalar, in nats."""
        right, scored = batch.targets, self.scored(batch)  # (B, S)
        if batch.negatives is None:
            logits = at_least_float32(outputs.squeeze(1))  # (B, V)
            of_words = logits.logsumexp(1, keepdim=True) - logits.gather(1, right)
            return masked_mean(of_words, scored)
        scores = at_least_float32(outputs[:, : right.shape[1]])
        of_negatives = F.softplus(at_least_float32(outputs[:, right.shape[1] :]))  # (B, K)
        weights = count_pairs(right, scored, batch.negatives) * (self.negatives / of_negatives.shape[1])
        total = (of_negatives * weights).sum(dtype=wide(scores)) / scored.sum().clamp(min=1)
        return masked_mean(F.softplus(-scores), scored) + total

    def metrics(self) -> MetricCollection:
        return collect({"accuracy": FirstPlace()})

    def answers(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return for each right word `(B, S)` whether it has the highest score, 1 or 0."""
        return comes_first(outputs, batch.targets, batch.negatives).long()

    def describe(self, data: SequenceData) -> str:
        """Say in a sentence what a network was trained for."""
        return f"Trained on {data.describe()}"


class FirstPlace(StepMean):
    """Share of right words whose score is above those of all other words that they are compared with."""

    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs  # see `update`

    def update(
        self, outputs: Tensor, targets: Tensor, mask: Tensor | None = None, negatives: Tensor | None = None
    ) -> None:
        super().update(comes_first(outputs, targets, negatives), targets, mask)


def comes_first(outputs: Tensor, targets: Tensor, negatives: Tensor | None) -> Tensor:
    """Return whether targets `(B, S)` score higher than the negatives of their row, `(G, K)`, or than all other words.

    A negative that is the right word itself is left out, as in the loss.
    """
    if negatives is None:
        return outputs.argmax(-1) == targets
    right, groups = targets.shape[1], len(negatives)
    scores, of_negatives = outputs[:, :right], outputs[:, right:].unflatten(0, (groups, -1))  # (G, B / G, K)
    of_rows = negatives.unsqueeze(1).expand_as(of_negatives)
    # the best negative, and the best of those that are another word than that: one of both is not the right word
    best, place = of_negatives.max(-1, keepdim=True)
    word = of_rows.gather(-1, place)
    other = of_negatives.masked_fill(of_rows == word, -torch.inf).amax(-1, keepdim=True)
    return scores > torch.where(targets == word.flatten(0, 1), other.flatten(0, 1), best.flatten(0, 1))


def count_pairs(right: Tensor, scored: Tensor, negatives: Tensor) -> Tensor:
    """Count for each row and negative the right words that it is a wrong answer to: all but itself.

    Args:
        right: Right words, `(B, S)`.
        scored: Which of them exist, `(B, S)`.
        negatives: `(G, K)`, see `Batch`.

    Returns:
        Counts, float32 `(B, K)`.
    """
    groups = negatives.unsqueeze(1)  # (G, 1, K)
    counts = scored.sum(1, keepdim=True).float().repeat(1, negatives.shape[1])
    of_groups = counts.view(len(negatives), -1, negatives.shape[1])  # (G, B / G, K)
    # a column at a time: together they would take S times the memory
    for words in right.masked_fill(~scored, -1).unbind(1):
        of_groups.add_(words.view(len(negatives), -1, 1) == groups, alpha=-1)
    return counts
