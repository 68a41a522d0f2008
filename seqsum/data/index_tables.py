"""Index tables: which items of a split form which sequences of which batch, dealt anew in each training epoch.

An item is a digit, an image, a text or a pair of sentences.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, DistributedSampler, SequentialSampler

from seqsum.data.base import Split
from seqsum.data.sums import batch_lengths, deal

BATCHES, ROWS, WITHIN = 0, 1, 2  # what a seed is for: the order of batches, that of rows, or numbers within a batch


class IndexBatch(NamedTuple):
    """A batch before its items are gathered.

    All processes get the same one except for `share`, so the batch's random numbers do not depend on how many
    processes there are.

    Attributes:
        split: The split that the items come from.
        rows: Positions in the split, `(B, T)`; those of all processes.
        seed: Seed of the batch's random numbers, below 2³².
        share: This process's rows.
        steps: Length of the batch, where sequences of different lengths are padded to it. Known here, where no GPU
            has to be asked for it.
        target_steps: Length of the targets, where they are padded to another one.
    """

    split: Split
    rows: Tensor
    seed: int
    share: slice = slice(None)
    steps: int | None = None
    target_steps: int | None = None

    def places(self, device: torch.device) -> Tensor:
        """Number this process's items by their places in the batch of all processes, int64 `(N,)`.

        Random numbers of an item that depend on its place do not depend on the number of processes.
        """
        return torch.arange(self.rows.numel(), device=device).view(self.rows.shape)[self.share].flatten()


class Table(NamedTuple):
    """Rows `(B, T)` of the split that form a batch, and the lengths to pad them to, if they are padded."""

    rows: Tensor
    steps: int | None = None
    target_steps: int | None = None


class IndexBatches(DistributedSampler[IndexBatch], SequentialSampler):
    """Deals a split into batches and gives each process its share of every batch.

    Process `r` of `W` takes every `W`-th row of a global batch of `W · batch_size` sequences, so all
    processes see the same number of batches, of the same length. No row is repeated or dropped: in a short
    last batch, some processes may get one row less than others, or none.

    It subclasses `DistributedSampler` so that Lightning leaves it in place and tells it the epoch. Lightning's
    own sampler would repeat rows to fill the last batch, which uses items twice and distorts test metrics. With
    `--trainer.overfit_batches` Lightning replaces all samplers but a `SequentialSampler`.

    Args:
        split: Name of the split; `train` is dealt anew in each epoch, the others never.
        count: Items in the split.
        lengths: Shortest and longest sequence; all sequences of a batch have the same length.
        batch_size: Sequences per process and batch, `B`.
        seed: Seed of the deal, together with the epoch.
        rank, world_size: Rank of this process, and number of processes.

    Attributes:
        repeats: Whether to deal the first epoch in every epoch, for `--trainer.overfit_batches`.
    """

    repeats = False

    def __init__(
        self,
        split: Split,
        count: int,
        lengths: tuple[int, int],
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__(range(count), num_replicas=world_size, rank=rank)  # type: ignore[arg-type]  # needs only len()
        self.split = split
        self.count = count
        self.together = batch_size * world_size  # sequences of a batch in all processes
        self.of_batches = batch_lengths(count, *lengths, self.together)
        self.seed = seed

    def __len__(self) -> int:
        return len(self.of_batches)

    def set_epoch(self, epoch: int) -> None:
        """Deal this epoch next; one that `repeats` deals the first."""
        super().set_epoch(0 if self.repeats else epoch)

    def __iter__(self) -> Iterator[IndexBatch]:  # type: ignore[override]  # a SequentialSampler yields numbers
        entropy = [self.seed, self.epoch if self.split == "train" else 0]
        share = slice(self.rank, None, self.num_replicas)
        # one generator for each use: which items form a sequence must not depend on batch_size
        of_batches, of_rows = (torch.Generator().manual_seed(mix_seeds(*entropy, use)) for use in (BATCHES, ROWS))
        for step, (rows, *lengths) in enumerate(self.tables(of_batches, of_rows)):
            yield IndexBatch(self.split, rows, mix_seeds(*entropy, WITHIN, step, 0), share, *lengths)

    def tables(self, of_batches: torch.Generator, of_rows: torch.Generator) -> Iterator[Table]:
        """Deal an epoch into the tables of its batches, those of all processes.

        Args:
            of_batches: Source of the random order of the batches.
            of_rows: Source of the random order of the rows.
        """
        # the last batch takes what is left, so it stays the last
        order = torch.randperm(len(self) - 1, generator=of_batches).tolist()
        lengths = [self.of_batches[k] for k in order] + self.of_batches[-1:]
        yield from map(Table, deal(self.count, lengths, self.together, of_rows))


class Passthrough(Dataset[IndexBatch]):
    """A dataset that returns its index: the sampler's index table, whose images are gathered later on the device."""

    def __getitem__(self, batch: IndexBatch) -> IndexBatch:
        return batch


def mix_seeds(*numbers: int) -> int:
    """Mix several numbers into one seed of 32 bits, so that neighbouring epochs get unrelated numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
