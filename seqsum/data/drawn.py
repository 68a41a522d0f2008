"""Base DataModule of random sequences: new ones in every training step, fixed ones for validation and test."""

from __future__ import annotations

import torch

from seqsum.data.base import Batch, Split, check_batch
from seqsum.data.index_tables import IndexBatch
from seqsum.data.indexed import IndexedData
from seqsum.errors import check_at_least

FIXED: dict[Split, int] = {"val": 1_000, "test": 2_000}  # sequences


class DrawnSequences(IndexedData):
    """A DataModule without a dataset: subclasses define how to `draw` a batch.

    The loader serves seeds, and batches are drawn on the device. A training batch depends only on the seed, the
    epoch and the step: no batch comes twice, and a resumed training sees the batches that it would have seen.
    Each of several processes takes its share of one batch. Validation and test sets are drawn on the CPU from
    fixed seeds, so they are the same on every machine and for every `seed`.

    Args:
        batch_size: Sequences per batch on each device, `B`.
        epoch_size: Sequences per epoch; the network is validated after each epoch.
        seed: Seed of the training batches.
    """

    def __init__(self, batch_size: int, epoch_size: int, seed: int) -> None:
        super().__init__((1, 1), batch_size, seed)
        check_at_least("--data.epoch_size", epoch_size, 1)
        self.epoch_size = epoch_size
        self.fixed: dict[Split, Batch] = {}

    def draw(self, count: int, generator: torch.Generator) -> Batch:
        """Draw `count` sequences with a generator, on its device."""
        raise NotImplementedError(f"{type(self).__name__} must define `draw`")

    def setup(self, stage: str) -> None:
        if not self.fixed:
            for seed, (split, count) in enumerate(FIXED.items()):
                self.fixed[split] = self.draw(count, torch.Generator().manual_seed(seed))
                check_batch(self.fixed[split])

    def count(self, split: Split) -> int:
        return self.epoch_size if split == "train" else FIXED[split]

    def gather(self, batch: IndexBatch) -> Batch:
        """Make this process's share of the batch, on the device of its rows `(B, 1)`."""
        device = batch.rows.device
        if batch.split == "train":
            generator = torch.Generator(device).manual_seed(batch.seed)
            return self.draw(len(batch.rows), generator).take(batch.share)._replace(rows=batch.rows)
        fixed = self.fixed[batch.split]
        if fixed.inputs.device != device:
            fixed = self.fixed[batch.split] = fixed.map(lambda tensor: tensor.to(device))
        return fixed.take(batch.rows[batch.share].squeeze(-1))._replace(rows=batch.rows)
