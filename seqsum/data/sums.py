"""Sequences and targets as pure, vectorised functions of index tables and labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Operation = Literal["alternating", "sum"]


def deal(count: int, lengths: Sequence[int], rows: int, generator: torch.Generator) -> list[Tensor]:
    """Deal the numbers `0 … count-1` like cards: batch `k` is an index table `(rows, lengths[k])`.

    Without replacement, so that an epoch sees a digit once. The last tables may have fewer rows, when
    the digits run out; fewer than one sequence of them is left over, others in every deal.

    Args:
        count: Digits in the split, `N`.
        lengths: Sequence length `T` of each batch.
        rows: Sequences in a batch, `B`.
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
    """Lengths of the batches that use up `count` digits: each from `shortest` to `longest` equally often.

    The same multiset in every epoch, so that an epoch always has the same number of steps, which the
    learning-rate schedule relies on.
    """
    lengths: list[int] = []
    while (used := rows * sum(lengths)) < count:
        length = shortest + len(lengths) % (longest - shortest + 1)
        if count - used < length:  # not one sequence left
            break
        lengths.append(length)
    return lengths


def signs(
    sequence_length: int,
    operation: Operation,
    device: torch.device | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Sign of each step, `(T,)`: `+ - + …` for `alternating`, `+ + + …` for `sum`."""
    ones = torch.ones(sequence_length, device=device, dtype=dtype)
    if operation == "alternating":
        ones[1::2].neg_()  # a kernel, where assigning a number makes a tensor of it first
    return ones


def running_targets(labels: Tensor, operation: Operation = "alternating") -> Tensor:
    """Running signed sums of digits: labels `(…, T)` -> float targets `(…, T)`."""
    # in whole numbers, which a GPU adds up deterministically, as it does not floats
    signed = labels * signs(labels.shape[-1], operation, labels.device, torch.int64)
    return signed.cumsum(dim=-1).float()


def scan_targets(labels: Tensor, operation: Operation = "alternating") -> Tensor:
    """The same by a loop that carries the sum from step to step: the reference for `running_targets`."""
    total = torch.zeros(labels.shape[:-1], device=labels.device)
    targets = []
    for t, digit in enumerate(labels.unbind(dim=-1)):
        total = total - digit if operation == "alternating" and t % 2 == 1 else total + digit
        targets.append(total)
    return torch.stack(targets, dim=-1)


def increments(sums: Tensor, mask: Tensor | None = None) -> Tensor:
    """What each step adds to the running sum, `(B, T)` -> `(B, T)`; the first step adds to zero.

    Args:
        sums: `(B, T)`; zero at the steps that the mask leaves out.
        mask: `(B, T)`, True where a step exists: it adds to the last one before it that exists.
    """
    before = F.pad(sums, (1, 0))[..., :-1]  # (B, T)
    if mask is not None:
        places = torch.arange(1, sums.shape[-1] + 1, device=sums.device) * mask  # (B, T)
        last = F.pad(places.cummax(dim=-1).values, (1, 0))[..., :-1]  # of those before each step; 0 for none
        before = F.pad(sums, (1, 0)).gather(-1, last)
    return sums - before


def read_digits(sums: Tensor, operation: Operation = "alternating", mask: Tensor | None = None) -> Tensor:
    """The digit that each step of running sums has added or subtracted, `(…, T)` -> `(…, T)`, rounded.

    Below 0 or above 9 it is none: the network has taken back what it said before.
    """
    return (increments(sums, mask) * signs(sums.shape[-1], operation).to(sums)).round()
