"""Batches for objectives, which look at targets and masks alone."""

from __future__ import annotations

import torch
from torch import Tensor

from seqsum.data.base import Batch


def labelled(targets: Tensor, mask: Tensor | None = None) -> Batch:
    """Targets `(B, T)` of inputs without features."""
    return Batch(torch.empty(*targets.shape, 0), targets, mask)
