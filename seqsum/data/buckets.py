"""Batches of sequences of similar length, so that little of a batch is padding."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from seqsum.data.base import Split
from seqsum.data.index_tables import IndexBatches, Table

POOL = 100  # batches
POOLS = 4  # at least, in an epoch: a single pool would form the same batches in every epoch


class BucketBatches(IndexBatches):
    """Cuts a shuffled epoch into pools, sorts each pool by length into batches, and shuffles the batches.

    So the batches of an epoch are new in every epoch, each has sequences of similar length, and short and long ones
    follow each other at random. Every sequence comes once.

    Args:
        split: Name of the split; `train` is shuffled anew in each epoch, the others never.
        lengths: Length of each sequence of the split, `(M,)`.
        batch_size: Sequences per process and batch, `B`.
        seed: Seed of the shuffling, together with the epoch.
        rank, world_size: Rank of this process, and number of processes.
        pool: Most batches per pool; 1 to ignore the lengths.
        steps: Length of all batches; by default each is as long as its longest sequence.
        target_lengths: Length of each sequence's target, `(M,)`, where targets are sequences too. Batches then have
            sequences of a similar sum of both lengths.
    """

    def __init__(
        self,
        split: Split,
        lengths: Tensor,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        pool: int = POOL,
        steps: int | None = None,
        target_lengths: Tensor | None = None,
    ) -> None:
        super().__init__(split, len(lengths), (1, 1), batch_size, seed, rank, world_size)
        self.of_sequences = lengths
        self.of_targets = target_lengths
        self.pool = max(1, min(pool, len(self) // POOLS))
        self.steps = steps

    def tables(self, of_batches: torch.Generator, of_rows: torch.Generator) -> Iterator[Table]:
        batches: list[Tensor] = []
        compared = self.of_sequences if self.of_targets is None else self.of_sequences + self.of_targets
        for pool in torch.randperm(self.count, generator=of_rows).split(self.pool * self.together):
            by_length = pool[compared[pool].argsort(stable=True)] if self.pool > 1 else pool
            batches += by_length.split(self.together)
        # the last batch may be short, so it stays the last
        order = torch.randperm(len(batches) - 1, generator=of_batches).tolist()
        for place in [*order, len(batches) - 1]:
            rows = batches[place]
            longest = int(self.of_sequences[rows].max())
            longest_target = None if self.of_targets is None else int(self.of_targets[rows].max())
            yield Table(rows.unsqueeze(1), self.steps or longest, longest_target)
