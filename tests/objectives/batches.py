"""Batches for objectives, which use only targets and masks."""

from __future__ import annotations

import torch
from torch import Tensor

from seqsum.data.base import Batch


def labelled(targets: Tensor, mask: Tensor | None = None) -> Batch:
    """Make a batch of targets `(B, T)`, with inputs that have no features."""
    return Batch(torch.empty(*targets.shape, 0), targets, mask)
