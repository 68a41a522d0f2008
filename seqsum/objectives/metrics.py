"""Metrics that average over steps: the mean loss, and the mean of a score for each step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric, MetricCollection
from torchmetrics.utilities.distributed import gather_all_tensors

from seqsum.objectives.masks import at_least_float32, scored_steps, wide


def collect(members: Mapping[str, Metric]) -> MetricCollection:
    """Collect metrics by name, each with its own sums.

    By default torchmetrics lets metrics share their sums if these are equal after the first batch. Those of rare events
    may be equal by chance.
    """
    return MetricCollection(dict(members), compute_groups=False)


def gather_padded(sums: Tensor, group: Any = None) -> list[Tensor]:
    """Gather the sums of all processes, with zeros for steps that only others have seen."""
    gathered: list[Tensor] = gather_all_tensors(sums.to(wide(sums)), group)  # not wide yet before the first update
    if not sums.dim():
        return gathered
    longest = max(map(len, gathered))
    return [F.pad(each, (0, longest - len(each))) for each in gathered]


class Sums(Metric):
    """A total and a count that grow in place, so that a CUDA graph can hold their tensors and add to them.

    Args:
        by_step: Whether to keep one total and one count for each step, or only one of each.
    """

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, by_step: bool) -> None:
        super().__init__(dist_sync_fn=gather_padded)
        self.add_state("total", torch.zeros((0,) if by_step else ()), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((0,) if by_step else ()), dist_reduce_fx="sum")

    def add(self, total: Tensor, count: Tensor) -> None:
        """Add to the sums: both `(T,)` or both scalars; `T` may differ between batches."""
        self.make_room(total.numel())
        if total.dim():
            self.total[: len(total)].add_(total)
            self.count[: len(count)].add_(count)
        else:
            self.total.add_(total)
            self.count.add_(count)

    def make_room(self, steps: int) -> None:
        """Extend the sums to at least `steps`, and convert them to the type to sum in."""
        for name in ("total", "count"):
            sums: Tensor = getattr(self, name)
            missing = max(0, steps - len(sums)) if sums.dim() else 0
            # validation leaves inference tensors, which can't be changed outside inference mode
            stale = sums.is_inference() and not torch.is_inference_mode_enabled()
            if missing or stale or sums.dtype != wide(sums):
                copied = sums.to(wide(sums), copy=True)
                setattr(self, name, F.pad(copied, (0, missing)) if missing else copied)

    def fits(self, place: tuple[Tensor, Tensor]) -> bool:
        """Whether the sums fit into other tensors for total and count."""
        return self.total.numel() <= place[0].numel()

    def keep_in(self, place: tuple[Tensor, Tensor]) -> None:
        """Move the sums into tensors that fit them; a reset or a checkpoint may have replaced these tensors."""
        for name, kept in zip(("total", "count"), place, strict=True):
            sums: Tensor = getattr(self, name)
            if sums is not kept:
                kept.zero_()
                (kept[: len(sums)] if kept.dim() else kept).copy_(sums)
                setattr(self, name, kept)

    def compute(self) -> Tensor:
        return (self.total.sum() / self.count.sum()).float()

    def set_updates(self, count: int) -> None:
        """Set the number of updates, for updates made without calling `update`."""
        vars(self).update(_update_count=count, _computed=None)  # bypasses nn.Module's slow __setattr__


class WeightedMean(Sums):
    """Mean of losses, each weighted by the number of steps that it averages.

    torchmetrics' MeanMetric either drops NaNs, which must show, or (in 1.9) ignores the weights.
    """

    def __init__(self) -> None:
        super().__init__(by_step=False)

    def update(self, loss: Tensor, steps: Tensor | int) -> None:
        total = loss.detach().to(wide(loss)) * steps
        self.add(total, torch.as_tensor(steps).to(total))


class StepMean(Sums):
    """Mean of a score over valid steps; subclasses define `score`.

    `compute` gives the mean over all steps, `by_step` one mean for each step.

    Args:
        last: Number of valid steps to score at the end of each sequence; None for all.
    """

    def __init__(self, last: int | None = None) -> None:
        super().__init__(by_step=True)
        self.last = last

    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Score outputs `(B, T, K)` against targets `(B, T)`; return scores `(B, T)`."""
        raise NotImplementedError(f"{type(self).__name__} must define `score`")

    def update(self, outputs: Tensor, targets: Tensor, mask: Tensor | None = None) -> None:
        scores = at_least_float32(self.score(outputs.detach(), targets))
        scored = scored_steps(targets, mask, self.last)
        total = scores.masked_fill(~scored, 0).sum(dim=0, dtype=wide(scores))  # not times 0, since scores may be NaN
        self.add(total, scored.sum(dim=0, dtype=wide(scores)))

    def by_step(self) -> Tensor:
        """Compute the mean score of each step over all processes, `(T,)`; every process must call this."""
        with self.sync_context(dist_sync_fn=self.dist_sync_fn):
            return (self.total / self.count).float()
