"""Sequences that are drawn at random: fresh ones for every training step, the same ones always for the tests."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from seqsum.data.base import Batch, SequenceData
from seqsum.data.digits import Split
from seqsum.data.sampler import IndexBatch, IndexBatches, Passthrough
from seqsum.errors import InputError

FIXED = {"val": 1_000, "test": 2_000}  # sequences


class DrawnSequences(SequenceData):
    """A DataModule without a data set: subclasses say how to `draw` a batch.

    The loader serves seeds; a batch is drawn on the device. A training batch depends on the seed, the epoch and
    the step alone, so none comes twice, and a training that goes on sees what it would have seen. Several
    processes take a share each of one batch. Validation and test sets are drawn on the CPU, from seeds of their
    own, and so are the same on every machine and for every seed.

    Args:
        batch_size: Sequences in a batch, `B`, on each device.
        epoch_size: Sequences in an epoch, after which the network is validated.
        seed: Of the training batches.
    """

    def __init__(self, batch_size: int, epoch_size: int, seed: int) -> None:
        super().__init__()
        for flag, value, least in (
            ("--data.batch_size", batch_size, 1),
            ("--data.epoch_size", epoch_size, 1),
            ("--seed_everything", seed, 0),
        ):
            check_at_least(flag, value, least)
        self.batch_size = batch_size
        self.epoch_size = epoch_size
        self.seed = seed
        self.fixed: dict[str, Batch] = {}

    def draw(self, count: int, generator: torch.Generator, training: bool) -> Batch:
        """So many sequences, from and on the device of the generator."""
        raise NotImplementedError(f"{type(self).__name__} must define `draw`")

    def setup(self, stage: str) -> None:
        if not self.fixed:
            for seed, (split, count) in enumerate(FIXED.items()):
                self.fixed[split] = self.draw(count, torch.Generator().manual_seed(seed), training=False)

    def train_dataloader(self) -> DataLoader[IndexBatch]:
        return self._dataloader("train", self.epoch_size, self.seed)

    def val_dataloader(self) -> DataLoader[IndexBatch]:
        return self._dataloader("val", FIXED["val"], 0)

    def test_dataloader(self) -> DataLoader[IndexBatch]:
        return self._dataloader("test", FIXED["test"], 0)

    def _dataloader(self, split: Split, count: int, seed: int) -> DataLoader[IndexBatch]:
        processes = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        sampler = IndexBatches(split, count, (1, 1), self.batch_size, seed, *processes)
        return DataLoader(Passthrough(), batch_size=None, sampler=sampler)

    def on_after_batch_transfer(self, batch: IndexBatch | Tensor, dataloader_idx: int) -> Batch | Tensor:
        return self.gather(batch) if isinstance(batch, IndexBatch) else batch

    def gather(self, batch: IndexBatch) -> Batch:
        """The sequences of this process, on the device of the batch's rows `(B, 1)`."""
        device = batch.rows.device
        if batch.split == "train":
            generator = torch.Generator(device).manual_seed(batch.seed)
            return self.draw(len(batch.rows), generator, training=True)
        inputs, targets, *_ = self.fixed[batch.split]
        if inputs.device != device:
            inputs, targets = inputs.to(device), targets.to(device)
            self.fixed[batch.split] = Batch(inputs, targets)
        rows = batch.rows.squeeze(-1)
        return Batch(inputs[rows], targets[rows])


def check_at_least(flag: str, value: float, least: float) -> None:
    """Raise an InputError for a value below the least allowed."""
    if value < least:
        raise InputError(f"`{flag}` (={value}) must be at least {least}")
