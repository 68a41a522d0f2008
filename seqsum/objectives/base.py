"""The contract of an objective, and which steps of a sequence it scores."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection

from seqsum.networks import SequenceNetwork


class Objective(nn.Module):
    """Contract: outputs of the head `(B, T, K)` and targets `(B, T)` in; loss, metrics and answers out."""

    output_size: int  # K
    monitor: str  # the metric that tells the best checkpoint
    monitor_mode: Literal["min", "max"]

    def loss(self, outputs: Tensor, targets: Tensor, mask: Tensor | None = None) -> Tensor:
        """A scalar to be minimised, the mean over `scored` steps; 0 for a batch without any."""
        raise NotImplementedError(f"{type(self).__name__} must define `loss`")

    def scored(self, targets: Tensor, mask: Tensor | None = None) -> Tensor:
        """The steps that the loss is the mean of, `(B, T)` bool: the valid ones, unless a subclass wants fewer."""
        return scored_steps(targets, mask)

    def metrics(self) -> MetricCollection:
        """Fresh metrics, updated with (outputs, targets, mask)."""
        raise NotImplementedError(f"{type(self).__name__} must define `metrics`")

    def answers(self, outputs: Tensor) -> Tensor:
        """Outputs as the numbers that a user reads, `(B, T, K) -> (B, T)`."""
        raise NotImplementedError(f"{type(self).__name__} must define `answers`")

    def predict(self, network: SequenceNetwork, inputs: Tensor) -> Tensor:
        """What a network makes of a user's input `(B, T, …)`: its answers, `(B, T)`."""
        return self.answers(network(inputs))


def scored_steps(targets: Tensor, mask: Tensor | None = None, last: int | None = None) -> Tensor:
    """Valid steps `(B, T)`, bool; with `last`, but so many of each sequence, at its end.

    Args:
        targets: `(B, T)`, whose shape and device it has.
        mask: `(B, T)`, True where a step is valid, any pattern; None when all are.
        last: How many; None for all.
    """
    valid = torch.ones_like(targets, dtype=torch.bool) if mask is None else mask
    if last is None:
        return valid
    remaining = valid.flip(-1).cumsum(-1).flip(-1)  # valid steps from here on
    return valid & (remaining <= last)


def masked_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean of the values `(B, T)` where the mask is True; 0 where it never is."""
    weights = torch.ones_like(values) if mask is None else mask.to(values)
    return (values * weights).sum(dtype=wide(values)) / weights.sum(dtype=wide(values)).clamp(min=1)


def wide(values: Tensor) -> torch.dtype:
    """The type to sum values in: float64, so that batches and processes may add them up in any order.

    Rounded to float32 the sums then come out the same. Apple's GPUs have float32 alone.
    """
    return torch.float32 if values.device.type == "mps" else torch.float64
