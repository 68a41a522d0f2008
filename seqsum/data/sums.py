"""Vectorised functions that deal digits into sequences and compute their running sums."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from seqsum.errors import check_choice

Operation = Literal["alternating", "sum"]


def deal(count: int, lengths: Sequence[int], rows: int, generator: torch.Generator) -> list[Tensor]:
    """Deal the numbers `0 … count-1` like cards: batch `k` is an index table `(rows, lengths[k])`.

    The deal is without replacement, so each digit occurs at most once. Tables have fewer rows once the digits
    run out. With the lengths of `batch_lengths`, fewer digits than one sequence remain, different ones in each deal.

    Args:
        count: Digits in the split, `N`.
        lengths: Sequence length `T` of each batch.
        rows: Sequences per batch, `B`.
        generator: Source of the random order.
    """
    order = torch.randperm(count, generator=generator)
    tables = []
    for length in lengths:
        size = min(rows, len(order) // length) * length
        tables.append(order[:size].view(-1, length))
        order = order[size:]
    return tables


def batch_lengths(count: int, shortest: int, longest: int, rows: int) -> list[int]:
    """Choose the lengths of the batches that use up `count` digits, from `shortest` to `longest` in turn.

    They are the same in every epoch, up to order, so that every epoch has the same number of steps, as the
    learning-rate schedule needs.
    """
    lengths: list[int] = []
    while (used := rows * sum(lengths)) < count:
        length = shortest + len(lengths) % (longest - shortest + 1)
        if count - used < length:  # not enough for one sequence
            break
        lengths.append(length)
    return lengths


def signs(
    sequence_length: int,
    operation: Operation,
    device: torch.device | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return the sign of each step, `(T,)`: `+ - + …` for `alternating`, `+ + + …` for `sum`."""
    check_choice("operation", operation, Operation)
    ones = torch.ones(sequence_length, device=device, dtype=dtype)
    if operation == "alternating":
        ones[1::2].neg_()  # one kernel; assigning a number would first make a tensor of it
    return ones


def running_targets(labels: Tensor, operation: Operation = "alternating") -> Tensor:
    """Compute the running signed sums of digits: labels `(…, T)` -> float targets `(…, T)`."""
    # in integers, because a GPU's cumulative sum of floats is not deterministic
    signed = labels * signs(labels.shape[-1], operation, labels.device, torch.int64)
    return signed.cumsum(dim=-1).float()


def scan_targets(labels: Tensor, operation: Operation = "alternating") -> Tensor:
    """Compute `running_targets` by a loop over the steps, as a reference for tests."""
    check_choice("operation", operation, Operation)
    total = torch.zeros(labels.shape[:-1], device=labels.device)
    targets = []
    for t, digit in enumerate(labels.unbind(dim=-1)):
        total = total - digit if operation == "alternating" and t % 2 == 1 else total + digit
        targets.append(total)
    return torch.stack(targets, dim=-1)


def increments(sums: Tensor, mask: Tensor | None = None) -> Tensor:
    """Compute what each step adds to the running sum, `(B, T)` -> `(B, T)`; the first step adds to zero.

    Args:
        sums: `(B, T)`; must be zero at masked steps.
        mask: `(B, T)`, True where a step exists. Each step adds to the last existing one before it.
    """
    before = F.pad(sums, (1, 0))[..., :-1]  # (B, T)
    if mask is not None:
        places = torch.arange(1, sums.shape[-1] + 1, device=sums.device) * mask  # (B, T)
        last = F.pad(places.cummax(dim=-1).values, (1, 0))[..., :-1]  # last existing step before each; 0 for none
        before = F.pad(sums, (1, 0)).gather(-1, last)
    return sums - before


def read_digits(sums: Tensor, operation: Operation = "alternating", mask: Tensor | None = None) -> Tensor:
    """Compute the digit that each step added or subtracted, rounded: running sums `(…, T)` -> digits `(…, T)`.

    A result below 0 or above 9 is no digit: the network corrected an earlier sum.
    """
    return (increments(sums, mask) * signs(sums.shape[-1], operation).to(sums)).round()
