"""Masks of scored steps, means over them, and the types to compute in."""

from __future__ import annotations

import torch
from torch import Tensor

WITHOUT_FLOAT64 = {"mps"}  # types of devices: Apple's GPUs


def scored_steps(targets: Tensor, mask: Tensor | None = None, last: int | None = None) -> Tensor:
    """Return the mask of the valid steps, bool `(B, T)`; with `last`, only the last valid steps of each sequence.

    Args:
        targets: `(B, T, …)`, which determines shape and device.
        mask: `(B, T)`, True where a step is valid, any pattern; None when all are.
        last: Number of steps at the end of each sequence; None for all.
    """
    valid = torch.ones(targets.shape[:2], dtype=torch.bool, device=targets.device) if mask is None else mask
    if last is None:
        return valid
    remaining = valid.flip(-1).cumsum(-1).flip(-1)  # valid steps from here on
    return valid & (remaining <= last)


def without_masked(tensor: Tensor, mask: Tensor | None) -> Tensor:
    """Zero outputs `(B, T, K)` or targets `(B, T)` at masked steps, where they may be anything, even NaN."""
    if mask is None:
        return tensor
    return tensor.masked_fill(~(mask if tensor.dim() == 2 else mask.unsqueeze(-1)), 0)


def masked_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Average finite values `(B, T)` where the mask is True; return 0 if it never is."""
    weights = torch.ones_like(values) if mask is None else mask.to(values)
    return (values * weights).sum(dtype=wide(values)) / weights.sum(dtype=wide(values)).clamp(min=1)


def at_least_float32(values: Tensor) -> Tensor:
    """Return values of 16 bits, and whole numbers, as float32, and wider ones as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def wide(values: Tensor) -> torch.dtype:
    """Return the type to sum values in: float64, but float32 on devices without it.

    Rounded to float32, a sum in float64 does not depend on the order in which batches and processes add to it.
    """
    return torch.float32 if values.device.type in WITHOUT_FLOAT64 else torch.float64
