from __future__ import annotations

import pytest
import torch

from seqsum.data.buckets import BucketBatches


def lengths(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(1, 300, (count,), generator=torch.Generator().manual_seed(seed))


def epoch_of(sampler: BucketBatches, epoch: int = 0) -> list:
    sampler.set_epoch(epoch)
    return list(sampler)


def share_of_padding(batches, of_sequences) -> float:
    computed = sum(len(batch.rows) * batch.steps for batch in batches)
    return 1 - int(of_sequences.sum()) / computed


@pytest.mark.parametrize("pool", [1, 3, 100])
@pytest.mark.parametrize(("count", "batch_size"), [(1_000, 16), (1_001, 16), (5, 16), (16, 16), (999, 7)])
def test_every_sequence_comes_once_an_epoch_and_only_the_last_batch_is_short(count, batch_size, pool):
    sampler = BucketBatches("train", lengths(count), batch_size, seed=1, pool=pool)
    for epoch in range(2):
        batches = epoch_of(sampler, epoch)
        rows = torch.cat([batch.rows.flatten() for batch in batches])
        assert rows.sort().values.tolist() == list(range(count))
        assert [len(batch.rows) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
        assert len(batches) == len(sampler)


def test_a_batch_is_as_long_as_its_longest_sequence_or_as_told():
    of_sequences = lengths(200)
    for batch in epoch_of(BucketBatches("train", of_sequences, 16, seed=1)):
        assert batch.steps == of_sequences[batch.rows].max()
    assert {batch.steps for batch in epoch_of(BucketBatches("train", of_sequences, 16, 1, steps=300))} == {300}


def test_targets_that_are_sequences_have_a_length_of_their_own_and_count_in_the_buckets():
    of_sequences, of_targets = lengths(2_000), lengths(2_000, seed=1)
    plain = epoch_of(BucketBatches("train", of_sequences, 16, seed=1))
    batches = epoch_of(BucketBatches("train", of_sequences, 16, seed=1, target_lengths=of_targets))
    assert {batch.target_steps for batch in plain} == {None}
    for batch in batches:
        assert batch.steps == of_sequences[batch.rows].max()
        assert batch.target_steps == of_targets[batch.rows].max()
    spread = [(of_sequences + of_targets)[batch.rows].float().std() for batch in batches]
    assert torch.stack(spread).mean() < 10, "batches are sorted by the sum"


def test_buckets_leave_little_padding_and_come_in_random_order():
    of_sequences = lengths(10_000)
    without = epoch_of(BucketBatches("train", of_sequences, 32, seed=1, pool=1))
    batches = epoch_of(BucketBatches("train", of_sequences, 32, seed=1))
    assert share_of_padding(without, of_sequences) > 0.4
    assert share_of_padding(batches, of_sequences) < 0.03
    steps = torch.tensor([float(batch.steps) for batch in batches])
    assert torch.corrcoef(torch.stack([steps, torch.arange(len(steps))]))[0, 1].abs() < 0.15


def test_epochs_form_other_batches_and_the_same_epoch_repeats():
    first, again, later = (epoch_of(BucketBatches("train", lengths(500), 16, seed=1), epoch) for epoch in (0, 0, 1))
    together = [{frozenset(batch.rows.flatten().tolist()) for batch in batches} for batches in (first, again, later)]
    assert together[0] == together[1]
    assert not together[0] & together[2]
    assert [batch.seed for batch in first] == [batch.seed for batch in again]


def test_validation_is_the_same_in_every_epoch():
    sampler = BucketBatches("val", lengths(500), 16, seed=0)
    assert [b.rows.tolist() for b in epoch_of(sampler, 0)] == [b.rows.tolist() for b in epoch_of(sampler, 5)]


def test_overfitting_repeats_the_first_epoch():
    sampler = BucketBatches("train", lengths(500), 16, seed=1)
    sampler.repeats = True
    assert [b.rows.tolist() for b in epoch_of(sampler, 0)] == [b.rows.tolist() for b in epoch_of(sampler, 5)]


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_processes_share_the_batches_of_one(processes):
    of_sequences = lengths(700)
    alone = epoch_of(BucketBatches("train", of_sequences, 12, seed=1), 3)
    shared = [
        epoch_of(BucketBatches("train", of_sequences, 12 // processes, 1, rank, processes), 3)
        for rank in range(processes)
    ]
    for batch, *parts in zip(alone, *shared, strict=True):
        assert all(part.rows.tolist() == batch.rows.tolist() and part.steps == batch.steps for part in parts)
        rows = torch.cat([part.rows[part.share] for part in parts]).flatten().sort().values
        assert rows.tolist() == batch.rows.flatten().sort().values.tolist()
