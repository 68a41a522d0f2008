"""Which steps of a sequence count, and means over them."""

from __future__ import annotations

import torch
from torch import Tensor


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
