"""What an experiment scores: its loss, its metrics, and how an output reads as an answer.

An experiment is a DataModule, an objective and a YAML; `SequenceModule` serves them all.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import Metric, MetricCollection

from seqsum.data.sums import increments


class Objective(nn.Module):
    """Contract: outputs of the head `(B, T, K)` and targets in; loss, metrics and answers out."""

    output_size: int  # K
    monitor: str  # the metric that tells the best checkpoint
    monitor_mode: Literal["min", "max"]

    def loss(self, outputs: Tensor, targets: Tensor, mask: Tensor | None = None) -> Tensor:
        """A scalar to be minimised; 0 for a batch without a single valid step."""
        raise NotImplementedError(f"{type(self).__name__} must define `loss`")

    def metrics(self) -> MetricCollection:
        """Fresh metrics, updated with (outputs, targets, mask)."""
        raise NotImplementedError(f"{type(self).__name__} must define `metrics`")

    def answers(self, outputs: Tensor) -> Tensor:
        """Outputs as the numbers that a user reads, `(B, T, K) -> (B, T)`."""
        raise NotImplementedError(f"{type(self).__name__} must define `answers`")


class RunningSum(Objective):
    """Regression of the running sum at every step.

    The loss is robust. An ambiguous digit's squared error is least at the mean of its readings, which
    is wrong for both; absolute error is least at the median, which is right for one. It is taken of the
    running sums and of their increments: the latter tell each step its own digit, free of earlier
    mistakes.

    Args:
        beta: Error below which smooth L1 is quadratic (Girshick, 2015), in units of the sum; `inf` is
            squared error.
        increment_weight: Weight of the increments' loss beside that of the sums.
    """

    output_size = 1
    monitor = "val/exact_final"
    monitor_mode = "max"

    def __init__(self, beta: float = 0.1, increment_weight: float = 1.0) -> None:
        super().__init__()
        if beta < 0:
            raise ValueError(f"`beta` (={beta}) must be at least 0")
        if increment_weight < 0:
            raise ValueError(f"`increment_weight` (={increment_weight}) must be at least 0")
        self.beta = beta
        self.increment_weight = increment_weight

    def loss(self, outputs: Tensor, targets: Tensor, mask: Tensor | None = None) -> Tensor:
        """Outputs `(B, T, 1)`, targets `(B, T)`, mask `(B, T)` -> scalar, the mean over valid steps."""
        sums = outputs.squeeze(-1).float()  # (B, T)
        of_sums = self._robust(sums, targets)
        of_increments = self._robust(increments(sums), increments(targets))
        return masked_mean(of_sums + self.increment_weight * of_increments, mask)

    def _robust(self, predictions: Tensor, targets: Tensor) -> Tensor:
        if math.isinf(self.beta):
            return F.mse_loss(predictions, targets, reduction="none")
        return F.smooth_l1_loss(predictions, targets, beta=self.beta, reduction="none")

    def metrics(self) -> MetricCollection:
        members: dict[str, Metric | MetricCollection] = {
            "exact_step": ExactStep(),
            "exact_final": ExactFinal(),
            "mae": MeanAbsoluteError(),
        }
        # no compute groups: they would merge two metrics whose sums happen to agree after the first batch
        return MetricCollection(members, compute_groups=False)

    def answers(self, outputs: Tensor) -> Tensor:
        """Running sums as the metrics read them: rounded."""
        return outputs.squeeze(-1).float().round()


def masked_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean of the values `(B, T)` where the mask is True; 0 where it never is."""
    weights = torch.ones_like(values) if mask is None else mask.to(values)
    return (values * weights).sum() / weights.sum().clamp(min=1)


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
        self.total = self.total + loss.detach().float() * steps
        self.count = self.count + steps

    def compute(self) -> Tensor:
        return self.total / self.count


class StepMean(Metric):
    """Mean of a score of every valid step, kept apart by step; subclasses say what the score is.

    `compute` gives the mean over all steps, `by_step` one mean for each.
    """

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(0), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(0), dist_reduce_fx="sum")

    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Outputs `(B, T, 1)`, targets `(B, T)` -> scores `(B, T)`."""
        raise NotImplementedError(f"{type(self).__name__} must define `score`")

    def weight(self, scores: Tensor, mask: Tensor | None) -> Tensor:
        """How much each step counts, `(B, T)`."""
        return torch.ones_like(scores) if mask is None else mask.to(scores)

    def update(self, outputs: Tensor, targets: Tensor, mask: Tensor | None = None) -> None:
        scores = self.score(outputs.detach(), targets).float()
        weights = self.weight(scores, mask)
        self.total = _add_steps(self.total, (scores * weights).sum(dim=0))
        self.count = _add_steps(self.count, weights.sum(dim=0))

    def compute(self) -> Tensor:
        return self.total.sum() / self.count.sum()

    def by_step(self) -> Tensor:
        """Mean score of each step, `(T,)`, over all processes: each of them must call it."""
        with self.sync_context(dist_sync_fn=self.dist_sync_fn):
            return self.total / self.count


class ExactStep(StepMean):
    """Share of steps at which the rounded running sum is right."""

    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.squeeze(-1).float().round() == targets


class ExactFinal(ExactStep):
    """Share of sequences whose sum is right after the last valid step."""

    def weight(self, scores: Tensor, mask: Tensor | None) -> Tensor:
        valid = super().weight(scores, mask)
        later = valid.flip(-1).cumsum(-1).flip(-1)  # valid steps from here on
        return valid * (later == 1)


class MeanAbsoluteError(StepMean):
    """Mean absolute error of the running sum, not rounded."""

    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs.squeeze(-1).float() - targets).abs()


def _add_steps(total: Tensor, values: Tensor) -> Tensor:
    """Sum of two vectors by step, of which either may be the longer: batches differ in length."""
    length = max(len(total), len(values))
    return F.pad(total, (0, length - len(total))) + F.pad(values, (0, length - len(values)))
