from __future__ import annotations

import pytest
import torch

from seqsum.data.index_tables import IndexBatch, IndexBatches

CASES = [
    (600, (4, 4), 16),
    (601, (4, 4), 16),
    (605, (2, 9), 16),
    (9_973, (2, 10), 32),
    (7, (7, 7), 3),
    (100, (1, 1), 64),
]


def sampler(split="train", count=605, lengths=(2, 9), batch_size=16, seed=3, rank=0, world_size=1) -> IndexBatches:
    return IndexBatches(split, count, lengths, batch_size, seed, rank, world_size)


def batches_of(epoch: int = 0, **arguments) -> list[IndexBatch]:
    batches = sampler(**arguments)
    batches.set_epoch(epoch)
    return list(batches)


def tables(batches: list[IndexBatch]) -> list[list[list[int]]]:
    return [batch.rows.tolist() for batch in batches]


def same(first: list[IndexBatch], second: list[IndexBatch]) -> bool:
    return tables(first) == tables(second) and [b.seed for b in first] == [b.seed for b in second]


@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize(("count", "lengths", "batch_size"), CASES)
def test_an_epoch_uses_each_digit_once_and_all_but_the_left_over(count, lengths, batch_size, split):
    batches = batches_of(epoch=2, split=split, count=count, lengths=lengths, batch_size=batch_size)
    used = torch.cat([batch.rows.flatten() for batch in batches]).tolist()
    assert len(set(used)) == len(used)
    assert set(used) <= set(range(count))
    assert count - len(used) < lengths[1]
    assert {batch.split for batch in batches} == {split}


@pytest.mark.parametrize("epoch", range(3))
@pytest.mark.parametrize(("count", "lengths", "batch_size"), CASES)
def test_every_batch_but_the_last_is_full_and_none_is_empty(count, lengths, batch_size, epoch):
    batches = batches_of(epoch=epoch, count=count, lengths=lengths, batch_size=batch_size)
    sizes = [len(batch.rows) for batch in batches]
    assert sizes[:-1] == [batch_size] * (len(sizes) - 1)
    assert 0 < sizes[-1] <= batch_size


def test_training_epochs_differ_and_the_same_epoch_repeats():
    first, again, later = batches_of(epoch=0), batches_of(epoch=0), batches_of(epoch=1)
    assert same(first, again)
    assert not any(table in tables(first) for table in tables(later))


def test_training_seeds_differ():
    assert not any(table in tables(batches_of(seed=3)) for table in tables(batches_of(seed=4)))


def test_seed_and_epoch_are_not_interchangeable():
    assert not any(table in tables(batches_of(seed=1, epoch=2)) for table in tables(batches_of(seed=2, epoch=1)))


def test_the_order_of_lengths_changes_with_the_epoch_but_not_how_often_each_comes():
    orders = [[batch.rows.shape[1] for batch in batches_of(epoch=epoch)] for epoch in range(3)]
    assert orders[0] != orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(orders[2])


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_sequences_of_one_length_do_not_depend_on_the_batch_size(split):
    small, large = (batches_of(split=split, lengths=(4, 4), batch_size=size) for size in (8, 30))
    assert torch.equal(torch.cat([batch.rows for batch in small]), torch.cat([batch.rows for batch in large]))


@pytest.mark.parametrize("split", ["val", "test"])
def test_evaluation_is_the_same_in_every_epoch(split):
    assert same(batches_of(split=split, epoch=0), batches_of(split=split, epoch=5))


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize(("count", "lengths", "batch_size"), CASES)
def test_len_is_the_number_of_batches_in_every_epoch_and_process(count, lengths, batch_size, world_size, split):
    shape = {"count": count, "lengths": lengths, "batch_size": batch_size}
    counts = set()
    for rank in range(world_size):
        batches = sampler(split=split, rank=rank, world_size=world_size, **shape)
        counts.add(len(batches))
        for epoch in range(2):
            batches.set_epoch(epoch)
            counts.add(len(list(batches)))
    assert len(counts) == 1


def shares_of(split: str, world_size: int, batch_size: int, **shape) -> list[list[IndexBatch]]:
    return [
        batches_of(split=split, rank=rank, world_size=world_size, batch_size=batch_size, epoch=1, **shape)
        for rank in range(world_size)
    ]


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize(("count", "lengths", "batch_size"), CASES)
def test_processes_share_what_one_process_with_a_larger_batch_takes(count, lengths, batch_size, world_size, split):
    shape = {"count": count, "lengths": lengths}
    shares = shares_of(split, world_size, batch_size, **shape)
    whole = batches_of(split=split, batch_size=batch_size * world_size, epoch=1, **shape)
    for batch, *parts in zip(whole, *shares, strict=True):
        united = [row for part in parts for row in part.rows[part.share].tolist()]
        assert sorted(united) == sorted(batch.rows.tolist())
        sizes = [len(part.rows[part.share]) for part in parts]
        assert max(sizes) - min(sizes) <= 1
        assert sizes[0] == max(sizes), "the first process, which logs and draws, always has some"


def test_a_process_may_get_no_row_of_the_last_batch():
    # four sequences for three processes, one at a time: three, then one
    for split in ("train", "test"):
        shares = shares_of(split, 3, batch_size=1, count=8, lengths=(2, 2))
        assert [[len(batch.rows[batch.share]) for batch in share] for share in shares] == [[1, 1], [1, 0], [1, 0]]


def test_warps_get_another_seed_in_every_batch_and_epoch_and_the_same_in_all_processes():
    first, second = (
        [batch.seed for epoch in range(2) for batch in batches_of(epoch=epoch, rank=rank, world_size=2, batch_size=8)]
        for rank in range(2)
    )
    assert first == second
    assert len(set(first)) == len(first) > 10
