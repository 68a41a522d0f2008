"""Which few of many labels a training may use."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from seqsum.errors import InputError

Labels = int | Literal["all"]


def check_labels(flag: str, count: int, classes: int) -> None:
    """Raise an InputError for a number of labels that is less than the classes: each needs one."""
    if count < classes:
        raise InputError(f"`{flag}` (={count}) must be at least {classes}, one for each class, or all")


def choose_rows(labels: Tensor, count: int, classes: int, seed: int) -> Tensor:
    """Choose rows at random, with every class among them; the same seed chooses the same.

    Args:
        labels: Class of each row, int64 `(M,)`.
        count: Rows to choose.
        classes: Number of classes, `C`.
        seed: Seed of the choice.

    Returns:
        The chosen rows, sorted, int64 `(count,)`.

    Raises:
        InputError: There are fewer rows than `count`, a class has none, or `count` is less than the classes.
    """
    if not classes <= count <= len(labels):
        raise InputError(
            f"`--data.labels` (={count}) must be between {classes}, one for each class, and {len(labels):,}, or all"
        )
    if missing := [number for number in range(classes) if not bool((labels == number).any())]:
        raise InputError(f"`--data.labels` (={count}): there is nothing of class {missing[0]}")
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    places = [int((labels[order] == number).int().argmax()) for number in range(classes)]  # the first of each class
    others = torch.ones(len(order), dtype=torch.bool)
    others[places] = False
    return torch.cat([order[places], order[others][: count - classes]]).sort().values
