"""The loader of batches that are made on the device, and how many sequences a batch has."""

from __future__ import annotations

import torch
from torch.utils.data import DataLoader, SequentialSampler

from seqsum.data.index_tables import IndexBatches
from seqsum.data.loader import BatchLoader, batch_size_of


def test_only_the_epoch_that_was_resumed_leaves_batches_out():
    loader = BatchLoader([0, 1, 2, 3], batch_size=None)
    loader.load_state_dict({"served": 3})
    assert [[int(batch) for batch in loader] for _ in range(2)] == [[3], [0, 1, 2, 3]]


def test_the_batch_size_is_that_of_all_processes_or_what_a_loader_says():
    class Rows(SequentialSampler):
        rows = together = torch.arange(3)  # names of a user's own

    sampler = IndexBatches("train", 30, (3, 3), 5, 0, rank=1, world_size=2)
    assert batch_size_of(BatchLoader(sampler, sampler=sampler, batch_size=None)) == 10
    assert batch_size_of(DataLoader(range(6), batch_size=2, sampler=Rows(range(6)))) == 2
    assert batch_size_of(range(6)) is None
