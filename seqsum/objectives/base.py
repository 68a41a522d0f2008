"""The contract of an objective, and which steps of a sequence it scores."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection

from seqsum.data.base import Batch


class Objective(nn.Module):
    """Contract: outputs of a network `(B, S, K)` and the batch that it read in; loss, metrics and answers out.

    `S` is the number of targets of a sequence, as a rule that of its input steps.

    Attributes:
        output_size: `K`.
        monitor, monitor_mode: The metric that tells the best checkpoint, and which way.
    """

    output_size: int
    monitor: str
    monitor_mode: Literal["min", "max"]

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """A scalar to be minimised, the mean over `scored` steps; 0 for a batch without any."""
        raise NotImplementedError(f"{type(self).__name__} must define `loss`")

    def scored(self, batch: Batch) -> Tensor:
        """The steps that the loss is the mean of, `(B, S)` bool: the valid ones, unless a subclass wants fewer."""
        return scored_steps(batch.targets, batch.scored)

    def metrics(self) -> MetricCollection:
        """Fresh metrics, updated with outputs, targets and `batch.scored`."""
        raise NotImplementedError(f"{type(self).__name__} must define `metrics`")

    def answers(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Outputs as the numbers that a user reads, `(B, S, K) -> (B, S)`; the batch may be `unlabelled`."""
        raise NotImplementedError(f"{type(self).__name__} must define `answers`")

    def predict(self, network: nn.Module, batch: Batch) -> Tensor:
        """What a network makes of a user's input, an `unlabelled` batch: its answers, `(B, S)`."""
        return self.answers(network(batch), batch)


def scored_steps(targets: Tensor, mask: Tensor | None = None, last: int | None = None) -> Tensor:
    """Valid steps `(B, T)`, bool; with `last`, only that many of each sequence, at its end.

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


def without_masked(tensor: Tensor, mask: Tensor | None) -> Tensor:
    """Outputs `(B, T, K)` or targets `(B, T)` with zeros at masked steps, whose values, NaN maybe, mean nothing."""
    if mask is None:
        return tensor
    return tensor.masked_fill(~(mask if tensor.dim() == 2 else mask.unsqueeze(-1)), 0)


def masked_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean of the values `(B, T)`, which are finite, where the mask is True; 0 where it never is."""
    weights = torch.ones_like(values) if mask is None else mask.to(values)
    return (values * weights).sum(dtype=wide(values)) / weights.sum(dtype=wide(values)).clamp(min=1)


def wide(values: Tensor) -> torch.dtype:
    """The type to sum values in: float64, so that batches and processes may add them up in any order.

    Rounded to float32 the sums then come out the same. Apple's GPUs have float32 alone.
    """
    return torch.float32 if values.device.type == "mps" else torch.float64
