"""Sequences whose length changes during a training: first short ones, from which a network learns, then long ones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from seqsum.data.base import Split
from seqsum.data.index_tables import IndexBatches, Table
from seqsum.errors import InputError, is_number, is_whole


class Growth:
    """The length of the training's sequences at each of its epochs (Elman, 1993; Bengio et al., 2009).

    Args:
        begins: Lengths `T` by the share of the training at which they begin, such as `{0: 10, 0.4: 50, 0.7: 200}`. They
            may shrink again.

    Raises:
        InputError: No length begins at 0, a share is not a number from 0 to below 1, or a length is not a whole number
            of at least one.
    """

    def __init__(self, begins: Mapping[float, int]) -> None:
        wrong = f"`--data.sequence_length` (={dict(begins)})"
        shares, lengths = [_as_share(share) for share in begins], list(begins.values())
        if 0 not in shares or len(set(shares)) < len(shares) or not all(0 <= share < 1 for share in shares):
            raise InputError(f"{wrong} must give lengths by different shares of the training, from 0 to below 1")
        if not all(is_whole(length) and length >= 1 for length in lengths):
            raise InputError(f"{wrong} must have lengths of at least 1, in whole numbers")
        self.begins = sorted(zip(shares, map(int, lengths), strict=True))
        lengths = [length for _, length in self.begins]
        self.first, self.last = lengths[0], lengths[-1]
        self.shortest, self.longest = min(lengths), max(lengths)

    def at(self, epoch: int, epochs: int) -> int:
        """Return the length in an epoch, counted from 0, of a training of so many epochs."""
        return [length for share, length in self.begins if _first(share, epochs) <= epoch][-1]

    def missed(self, epochs: int) -> list[int]:
        """Return the lengths that no epoch has, in a training of so many epochs: a length begins with an epoch."""
        starts = {_first(share, epochs) for share, _ in self.begins}
        met = {self.at(epoch, epochs) for epoch in starts if epoch < epochs}
        return sorted({length for _, length in self.begins} - met)

    def describe(self, epochs: int) -> str:
        """Write the lengths for the user, and which of them a training of so many epochs is too short for."""
        if not (missed := self.missed(epochs)):
            return str(self)
        few = "1 epoch is" if epochs == 1 else f"{epochs} epochs are"
        return f"{self}; but {few} too few for those of {' and '.join(map(str, missed))}"

    def __str__(self) -> str:
        """Write the lengths for the user: `10, 50 (from 40 % of the training on)`."""
        later = [f"{length} (from {100 * share:g} % of the training on)" for share, length in self.begins[1:]]
        return ", ".join([str(self.first), *later])


class GrowingBatches(IndexBatches):
    """Deals each epoch into as many batches, with as many digits in each, of sequences as long as its epoch asks for.

    So an epoch has the same number of steps at every length, as the learning-rate schedule needs, and costs about the
    same. All sequences of an epoch have the same length, and the numbers of sequences in its batches differ by one at
    most.

    Args:
        split: Name of the split, dealt anew in each epoch.
        count: Digits in the split.
        growth: Length in each epoch.
        epochs: Epochs of the training.
        batch_size: Sequences per process and batch at the first length.
        seed: Seed of the deal, together with the epoch.
        rank, world_size: Rank of this process, and number of processes.

    Raises:
        InputError: At its longest, an epoch would have fewer sequences than batches.
    """

    def __init__(
        self,
        split: Split,
        count: int,
        growth: Growth,
        epochs: int,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__(split, count, (growth.first, growth.first), batch_size, seed, rank, world_size)
        if count // growth.longest < len(self):
            raise InputError(
                f"`--data.sequence_length`: {count:,} digits are {count // growth.longest} sequences of "
                f"{growth.longest}, fewer than the {len(self)} batches of `--data.batch_size` (={batch_size}): "
                "make batches larger, or the longest sequences shorter"
            )
        self.growth = growth
        self.epochs = epochs

    def tables(self, of_batches: torch.Generator, of_rows: torch.Generator) -> Iterator[Table]:
        length = self.growth.at(self.epoch, self.epochs)
        digits = torch.randperm(self.count, generator=of_rows)
        sequences = digits[: self.count // length * length].view(-1, length)
        yield from map(Table, sequences.tensor_split(len(self)))


def lengths_of(sequence_length: int | tuple[int, int] | dict[float, int]) -> tuple[int, int] | Growth:
    """Read the setting `sequence_length`: one length, [shortest, longest], or lengths by share of the training.

    Raises:
        InputError: A length is not a whole number of at least one, or the setting is none of these.
    """
    if isinstance(sequence_length, dict):
        return Growth(sequence_length)
    lengths = list(sequence_length) if isinstance(sequence_length, list | tuple) else [sequence_length] * 2
    whole = len(lengths) == 2 and all(map(is_whole, lengths))
    if whole and lengths[0] > lengths[1]:
        raise InputError(f"`--data.sequence_length` (={lengths}) must be [shortest, longest]")
    if not whole or lengths[0] < 1:
        raise InputError(
            f"`--data.sequence_length` (={sequence_length!r}) must be at least 1, or [shortest, longest], or lengths "
            "by share of the training, in whole numbers"
        )
    return int(lengths[0]), int(lengths[1])


def _first(share: float, epochs: int) -> int:
    """The first epoch that begins after a share of all; 0.55 of 100 is 55, though 55.00000000000001 for a computer."""
    return math.ceil(round(share * epochs, 9))


def _as_share(value: Any) -> float:
    """Return a share as a number, also if it is text as in JSON; NaN if it is anything else."""
    try:
        return float(value) if is_number(value) or isinstance(value, str) else math.nan
    except (ValueError, OverflowError):
        return math.nan
