"""Means over steps: of the loss, and of a score kept apart by step."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric

from seqsum.objectives.base import scored_steps, wide


class WeightedMean(Metric):
    """Mean of losses, each weighted by the steps that it is the mean of.

    torchmetrics' MeanMetric either drops NaNs, which must show, or (in 1.9) forgets the weights.
    """

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(()), dist_reduce_fx="sum")

    def update(self, loss: Tensor, steps: Tensor | int) -> None:
        self.total = self.total + loss.detach().to(wide(loss)) * steps
        self.count = self.count + torch.as_tensor(steps).to(self.total)

    def compute(self) -> Tensor:
        return (self.total / self.count).float()


class StepMean(Metric):
    """Mean of a score of every valid step, kept apart by step; subclasses say what the score is.

    `compute` gives the mean over all steps, `by_step` one mean for each.

    Args:
        last: How many of a sequence's last valid steps count; None for all of them.
    """

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, last: int | None = None) -> None:
        super().__init__()
        self.last = last
        self.add_state("total", torch.zeros(0), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(0), dist_reduce_fx="sum")

    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Outputs `(B, T, K)`, targets `(B, T)` -> scores `(B, T)`."""
        raise NotImplementedError(f"{type(self).__name__} must define `score`")

    def update(self, outputs: Tensor, targets: Tensor, mask: Tensor | None = None) -> None:
        scores = self.score(outputs.detach(), targets).float()
        weights = scored_steps(targets, mask, self.last).to(scores)
        self.total = _add_steps(self.total, (scores * weights).sum(dim=0, dtype=wide(scores)))
        self.count = _add_steps(self.count, weights.sum(dim=0, dtype=wide(scores)))

    def compute(self) -> Tensor:
        return (self.total.sum() / self.count.sum()).float()

    def by_step(self) -> Tensor:
        """Mean score of each step, `(T,)`, over all processes: each of them must call it."""
        with self.sync_context(dist_sync_fn=self.dist_sync_fn):
            return (self.total / self.count).float()


def _add_steps(total: Tensor, values: Tensor) -> Tensor:
    """Sum of two vectors by step, of which either may be the longer: batches differ in length."""
    length = max(len(total), len(values))
    return F.pad(total, (0, length - len(total))) + F.pad(values, (0, length - len(values)))
