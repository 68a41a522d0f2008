"""Few labels: a random choice of rows in which every class is represented."""

from __future__ import annotations

import torch
from torch import Tensor

from seqsum.errors import InputError


def choose_rows(labels: Tensor, count: int, classes: int, seed: int) -> Tensor:
    """Choose rows at random, the same for the same seed, as evenly among the classes as they allow.

    Classes take turns, in an order drawn for the seed, until there are enough rows: each class has one row before any
    has two, and the choice of fewer rows is the beginning of that of more.

    Args:
        labels: Class of each row, int64 `(N,)`, from 0.
        count: Rows to choose.
        classes: Number of classes, `C`.
        seed: Seed of the choice.

    Returns:
        Rows, int64 `(count,)`.

    Raises:
        InputError: `count` is below the number of classes, or above the number of rows; or a class has no row.
    """
    sizes = torch.bincount(labels, minlength=classes)
    if not classes <= count <= len(labels):
        raise InputError(f"`--data.labels` (={count}) must be all, or a number from {classes} to {len(labels)}")
    if missing := (sizes == 0).nonzero().flatten().tolist():
        raise InputError(f"`--data.labels` (={count}): no training example is of class {missing[0]}")
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(labels), generator=generator)
    turns = torch.randperm(classes, generator=generator)
    of_order = labels[order]
    rounds = torch.empty_like(order)  # of each row, how many of its class come before it
    for label in range(classes):
        same = of_order == label
        rounds[same] = torch.arange(int(same.sum()))
    return order[(rounds * classes + turns[of_order]).argsort()][:count]
