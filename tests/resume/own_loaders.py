"""Data of a user's own from ordinary loaders, for tests that name them by their paths."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, Trainer
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, Sampler

from seqsum.data import Batch, SequenceData

STEPS = 7  # of an epoch; the last batch is shorter


class Noisy(Dataset):
    """Sequences with noise that is drawn anew each time, from torch's own generator."""

    def __len__(self) -> int:
        return 8 * STEPS - 3

    def __getitem__(self, row: int) -> torch.Tensor:
        return torch.full((4, 3), row / 50) + 0.1 * torch.randn(4, 3)


class Stream(IterableDataset):
    """The same, one after another, without a length."""

    def __iter__(self) -> Iterator[torch.Tensor]:
        rows = Noisy()
        return (rows[row] for row in torch.randperm(len(rows)).tolist())


class Counted:
    """A loader that keeps its place itself."""

    def __init__(self) -> None:
        self.begins = self.served = 0

    def __iter__(self) -> Iterator[Batch]:
        begins, self.begins = self.begins, 0
        for place in range(begins, STEPS):
            self.served = place + 1
            yield _collate([torch.full((4, 3), place / 10)] * 8)

    def __len__(self) -> int:
        return STEPS

    def state_dict(self) -> dict[str, Any]:
        return {"served": self.served}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.begins = state["served"] % STEPS


class ByEpoch(Sampler[int]):
    """Shuffles by the epoch that it is told, as a DistributedSampler does."""

    epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(self.epoch))
        return iter(order.tolist())

    def __len__(self) -> int:
        return len(Noisy())


class SavesWithin(Callback):
    """Saves a checkpoint within a batch of the first epoch, before it is read by the network."""

    def __init__(self, batch: int) -> None:
        self.batch = batch

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        if trainer.current_epoch == 0 and trainer.fit_loop.batch_idx == self.batch:
            trainer.save_checkpoint("within.ckpt")


class StopsAfter(Callback):
    """Ends the training after a number of batches, as a limit of time does."""

    def __init__(self, batches: int) -> None:
        self.batches = batches

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        trainer.should_stop = trainer.global_step >= self.batches


class Own(SequenceData):
    """Loaders of one kind."""

    def __init__(self, kind: str = "rows", workers: int = 0, batch_size: int = 8, root: str = "") -> None:
        super().__init__()
        self.kind, self.workers, self.batch_size = kind, workers, batch_size

    def train_dataloader(self) -> Any:
        options: dict[str, Any] = {"batch_size": self.batch_size, "collate_fn": _collate, "num_workers": self.workers}
        if self.kind == "counted":
            return Counted()
        if self.kind == "stream":
            return DataLoader(Stream(), **options)
        generator, rows = torch.Generator().manual_seed(3), Noisy()
        orders = {
            "rows": {"shuffle": True},
            "by epoch": {"sampler": ByEpoch()},
            "generator": {"shuffle": True, "generator": generator},
            "sampler's generator": {"sampler": RandomSampler(rows, generator=generator)},
            "global generators": {"shuffle": True, "collate_fn": _scaled_at_random},
        }
        return DataLoader(rows, **{**options, **orders[self.kind]})

    def val_dataloader(self) -> DataLoader:
        return DataLoader(Noisy(), batch_size=16, collate_fn=_collate)


def _collate(rows: list[torch.Tensor]) -> Batch:
    inputs = torch.stack(rows)
    return Batch(inputs, inputs.sum(-1).cumsum(1))


def _scaled_at_random(rows: list[torch.Tensor]) -> Batch:
    """Draw from Python's and NumPy's own generators, as many augmentations do."""
    scale = random.uniform(0.8, 1.2) * np.random.uniform(0.8, 1.2)  # noqa: NPY002  # the old one is meant
    return _collate([scale * row for row in rows])
