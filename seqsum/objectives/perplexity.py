"""Perplexity: how many tokens the next one might as well be."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from seqsum.objectives.masks import at_least_float32, without_masked
from seqsum.objectives.metrics import StepMean


class Perplexity(StepMean):
    """The exponential of the mean cross-entropy of the next token, in nats."""

    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """See `cross_entropy`."""
        return cross_entropy(outputs, targets)

    def update(self, outputs: Tensor, targets: Tensor, mask: Tensor | None = None) -> None:
        super().update(outputs, without_masked(targets, mask), mask)  # masked ones may be no tokens

    def compute(self) -> Tensor:
        return super().compute().exp()

    def by_step(self) -> Tensor:
        """Compute the perplexity of each step over all processes, `(T,)`; every process must call this."""
        return super().by_step().exp()


def cross_entropy(outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Compute the cross-entropy of tokens `(B, T)` given outputs `(B, T, V)`, in nats: `(B, T)`."""
    # not with the axis of tokens second, for which torch copies the outputs
    rows = F.cross_entropy(
        at_least_float32(outputs).flatten(0, 1),
        targets.flatten().long(),
        reduction="none",
        label_smoothing=label_smoothing,
    )
    return rows.view_as(targets)
