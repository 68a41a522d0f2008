"""Means over steps: of the loss, and of a score kept apart by step."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric

from seqsum.objectives.masks import scored_steps, wide


class Sums(Metric):
    """A total and a count, added to in place: a CUDA graph that holds their tensors can add to them too.

    Args:
        by_step: Whether there are as many of each as steps, or one.
    """

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, by_step: bool) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((0,) if by_step else ()), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((0,) if by_step else ()), dist_reduce_fx="sum")

    def add(self, total: Tensor, count: Tensor) -> None:
        """Add values, both `(T,)` or both scalars: batches may differ in length."""
        self.make_room(total.numel())
        if total.dim():
            self.total[: len(total)].add_(total)
            self.count[: len(count)].add_(count)
        else:
            self.total.add_(total)
            self.count.add_(count)

    def make_room(self, steps: int) -> None:
        """Let the sums have at least so many steps, and the type to sum in."""
        for name in ("total", "count"):
            sums: Tensor = getattr(self, name)
            missing = max(0, steps - len(sums)) if sums.dim() else 0
            # validation leaves tensors behind that nothing outside of it may write to
            stale = sums.is_inference() and not torch.is_inference_mode_enabled()
            if missing or stale or sums.dtype != wide(sums):
                copied = sums.to(wide(sums), copy=True)
                setattr(self, name, F.pad(copied, (0, missing)) if missing else copied)

    def fits(self, place: tuple[Tensor, Tensor]) -> bool:
        """Whether tensors for total and count have room for these."""
        return self.total.numel() <= place[0].numel()

    def keep_in(self, place: tuple[Tensor, Tensor]) -> None:
        """Go on in tensors that fit: a reset, or a checkpoint, has put others in their stead."""
        for name, kept in zip(("total", "count"), place, strict=True):
            sums: Tensor = getattr(self, name)
            if sums is not kept:
                kept.zero_()
                (kept[: len(sums)] if kept.dim() else kept).copy_(sums)
                setattr(self, name, kept)

    def set_updates(self, count: int) -> None:
        """Say how often the sums were added to, where it was not by `update`."""
        vars(self).update(_update_count=count, _computed=None)  # past all that nn.Module does to set an attribute


class WeightedMean(Sums):
    """Mean of losses, each weighted by the steps that it is the mean of.

    torchmetrics' MeanMetric either drops NaNs, which must show, or (in 1.9) forgets the weights.
    """

    def __init__(self) -> None:
        super().__init__(by_step=False)

    def update(self, loss: Tensor, steps: Tensor | int) -> None:
        total = loss.detach().to(wide(loss)) * steps
        self.add(total, torch.as_tensor(steps).to(total))

    def compute(self) -> Tensor:
        return (self.total / self.count).float()


class StepMean(Sums):
    """Mean of a score of every valid step, kept apart by step; subclasses say what the score is.

    `compute` gives the mean over all steps, `by_step` one mean for each.

    Args:
        last: How many of a sequence's last valid steps count; None for all of them.
    """

    def __init__(self, last: int | None = None) -> None:
        super().__init__(by_step=True)
        self.last = last

    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Outputs `(B, T, K)`, targets `(B, T)` -> scores `(B, T)`."""
        raise NotImplementedError(f"{type(self).__name__} must define `score`")

    def update(self, outputs: Tensor, targets: Tensor, mask: Tensor | None = None) -> None:
        scores = self.score(outputs.detach(), targets).float()
        scored = scored_steps(targets, mask, self.last)
        total = scores.masked_fill(~scored, 0).sum(dim=0, dtype=wide(scores))  # not times 0: it may be NaN
        self.add(total, scored.sum(dim=0, dtype=wide(scores)))

    def compute(self) -> Tensor:
        return (self.total.sum() / self.count.sum()).float()

    def by_step(self) -> Tensor:
        """Mean score of each step, `(T,)`, over all processes: each of them must call it."""
        with self.sync_context(dist_sync_fn=self.dist_sync_fn):
            return (self.total / self.count).float()
