"""Which digits form which sequences of which batch: index tables, dealt anew for each training epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, DistributedSampler, SequentialSampler

from seqsum.data.digits import Split
from seqsum.data.sums import batch_lengths, deal


class IndexBatch(NamedTuple):
    """A batch before its images are gathered.

    All processes get the same one but for their share, so that what is drawn at random for the batch does not
    depend on how many they are.

    Attributes:
        split: Where the digits come from.
        rows: Positions in the split, `(B, T)`, of the sequences of all processes.
        seed: Of the batch's random numbers, below 2³².
        share: Which of the sequences are this process's.
    """

    split: Split
    rows: Tensor
    seed: int
    share: slice = slice(None)


class IndexBatches(DistributedSampler[IndexBatch]):
    """Deals a split into batches, one share of each for every process.

    Process `r` of `W` takes every `W`-th row of a global batch of `W · batch_size` sequences, so all
    processes see the same number of batches, of the same length. Every row is some process's, and of a short
    last batch a process may get one row less than others, or none.

    A `DistributedSampler` by name: Lightning leaves it in place and tells it the epoch. Lightning's own
    would repeat rows to fill the last batch, which uses digits twice and spoils test metrics.

    Args:
        split: Name of the split; `train` is dealt anew in each epoch, the others never.
        count: Digits in the split.
        lengths: Shortest and longest sequence; each batch has one length.
        batch_size: Sequences per process and batch, `B`.
        seed: Together with the epoch, all that the deal depends on.
        rank, world_size: This process, and how many there are.
    """

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
        self.rows = batch_size * world_size
        self.lengths = batch_lengths(count, *lengths, self.rows)
        self.seed = seed

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[IndexBatch]:
        entropy = [self.seed, self.epoch if self.split == "train" else 0]
        share = slice(self.rank, None, self.num_replicas)
        of_lengths, of_digits = (torch.Generator().manual_seed(_seed_from(*entropy, use)) for use in (0, 1))
        # the last batch takes what the others leave, so it keeps its place
        order = torch.randperm(len(self) - 1, generator=of_lengths).tolist()
        lengths = [self.lengths[k] for k in order] + self.lengths[-1:]
        # digits from a generator of their own: which of them form a sequence must not depend on batch_size
        for step, table in enumerate(deal(self.count, lengths, self.rows, of_digits)):
            yield IndexBatch(self.split, table, _seed_from(*entropy, 2, step, 0), share)


class RepeatedBatches(IndexBatches, SequentialSampler):  # type: ignore[misc]  # each is a Sampler, of other things
    """Deals the first epoch in every epoch, as `--trainer.overfit_batches` wants.

    A `SequentialSampler` by name: Lightning would put one of its own in the place of all others.
    """

    def set_epoch(self, epoch: int) -> None:
        """Nothing: the next epoch is the first again."""


class Passthrough(Dataset[IndexBatch]):
    """A dataset that hands on what the sampler made: the images are gathered later, on the device."""

    def __getitem__(self, batch: IndexBatch) -> IndexBatch:
        return batch


def _seed_from(*entropy: int) -> int:
    """One well-mixed seed from several numbers: neighbouring epochs must not give related orders."""
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])
