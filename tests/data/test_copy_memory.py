"""Copy memory: the task itself, and batches that are never repeated."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.plugins.precision import Precision

from seqsum.data import CopyMemory
from seqsum.data.copy_memory import copy_task
from seqsum.errors import InputError


def prepared(**arguments):
    data = CopyMemory(**{"epoch_size": 100, "batch_size": 30} | arguments)
    data.setup("fit")
    return data


def batches(loader, data, epoch=0):
    loader.sampler.set_epoch(epoch)
    return [data.on_after_batch_transfer(batch, 0) for batch in loader]


def test_task_written_out():
    inputs, targets, *_ = copy_task(torch.tensor([[2, 0, 1], [1, 1, 2]]), num_symbols=3, blanks=2)
    blank, delimiter = 3, 4
    assert inputs.argmax(-1).tolist() == [
        [2, 0, 1, blank, blank, delimiter, blank, blank, blank],
        [1, 1, 2, blank, blank, delimiter, blank, blank, blank],
    ]
    assert targets.tolist() == [
        [blank, blank, blank, blank, blank, blank, 2, 0, 1],
        [blank, blank, blank, blank, blank, blank, 1, 1, 2],
    ]
    assert inputs.shape == (2, 9, 5)
    assert (inputs.sum(-1) == 1).all()


def test_without_blanks_the_delimiter_follows_at_once():
    inputs, targets, *_ = copy_task(torch.tensor([[2, 0]]), num_symbols=3, blanks=0)
    assert inputs.argmax(-1).tolist() == [[2, 0, 4, 3, 3]]
    assert targets.tolist() == [[3, 3, 3, 2, 0]]


def test_all_symbols_are_drawn_evenly():
    data = prepared(epoch_size=3_000, batch_size=3_000)
    (batch,) = batches(data.train_dataloader(), data)
    shares = torch.bincount(batch.targets[:, -8:].flatten(), minlength=10) / 24_000
    assert shares[9] == 0
    assert (shares[:9] - 1 / 9).abs().max() < 0.01


def test_an_epoch_has_its_size_and_its_lengths():
    data = prepared(to_remember_len=5, blank_separation_len=7)
    found = batches(data.train_dataloader(), data)
    assert [len(batch.inputs) for batch in found] == [30, 30, 30, 10]
    assert {batch.inputs.shape[1:] for batch in found} == {(18, 11)}
    assert {batch.targets.shape[1] for batch in found} == {18}


def test_no_batch_comes_twice_and_the_seed_repeats_all_of_them():
    data, again, other = prepared(), prepared(), prepared(seed=1)
    seen = set()
    for epoch in range(3):
        found = batches(data.train_dataloader(), data, epoch)
        repeated = batches(again.train_dataloader(), again, epoch)
        different = batches(other.train_dataloader(), other, epoch)
        for batch, same, unlike in zip(found, repeated, different, strict=True):
            assert torch.equal(batch.targets, same.targets)
            assert not torch.equal(batch.targets, unlike.targets)
            seen |= {tuple(row) for row in batch.targets.tolist()}
    assert len(seen) == 300  # of 9^8: by chance, one run in a thousand would repeat one


def test_the_first_batch_of_an_epoch_does_not_depend_on_those_before():
    data = prepared()
    first = batches(data.train_dataloader(), data, epoch=5)[2]
    batches(data.train_dataloader(), data, epoch=4)
    torch.randn(7)
    assert torch.equal(batches(data.train_dataloader(), data, epoch=5)[2].targets, first.targets)


def test_an_epoch_goes_on_where_it_was_left():
    data = prepared()
    whole = batches(data.train_dataloader(), data, epoch=2)
    later = prepared()
    loader = later.train_dataloader()
    loader.load_state_dict({"served": 2})
    rest = batches(loader, later, epoch=2)
    assert [batch.targets.tolist() for batch in rest] == [batch.targets.tolist() for batch in whole[2:]]


@pytest.mark.parametrize("split", ["train", "val"])
def test_processes_share_what_one_would_draw(split):
    """Compare two processes with half a batch each with one process."""
    alone = prepared(batch_size=30, epoch_size=91)
    whole = batches(getattr(alone, f"{split}_dataloader")(), alone, epoch=1)
    together = []
    for rank in range(2):
        data = prepared(batch_size=15, epoch_size=91)
        data.trainer = SimpleNamespace(
            global_rank=rank, world_size=2, precision_plugin=Precision(), overfit_batches=0.0
        )
        together.append(batches(getattr(data, f"{split}_dataloader")(), data, epoch=1))
    for batch, *shares in zip(whole, *together, strict=True):
        for rank, share in enumerate(shares):
            assert torch.equal(share.inputs, batch.inputs[rank::2])
            assert torch.equal(share.targets, batch.targets[rank::2])
    assert len(together[1][-1].targets) == (0 if split == "train" else 5)


@pytest.mark.parametrize("split", ["val", "test"])
def test_evaluation_is_fixed_whatever_seed_epoch_and_batch_size(split):
    def everything(data, epoch):
        found = batches(getattr(data, f"{split}_dataloader")(), data, epoch)
        return sorted(row for batch in found for row in batch.targets.tolist())

    expected = everything(prepared(), 0)
    assert len(expected) == {"val": 1_000, "test": 2_000}[split]
    assert everything(prepared(seed=3, batch_size=77), 5) == expected


def test_validation_and_test_differ():
    data = prepared()
    assert not torch.equal(data.fixed["val"].targets[:1_000], data.fixed["test"].targets[:1_000])


def test_inputs_and_targets_of_the_test_set_stay_together():
    data = prepared(blank_separation_len=2)
    for batch in batches(data.test_dataloader(), data):
        assert torch.equal(batch.inputs.argmax(-1)[:, :8], batch.targets[:, -8:])


@pytest.mark.parametrize(("arguments", "message"), [
    ({"to_remember_len": 0}, r"`--data.to_remember_len` \(=0\) must be at least 1"),
    ({"blank_separation_len": -1}, r"`--data.blank_separation_len` \(=-1\) must be at least 0"),
    ({"num_symbols": 1}, r"`--data.num_symbols` \(=1\) must be at least 2"),
    ({"batch_size": 0}, r"`--data.batch_size` \(=0\) must be at least 1"),
    ({"epoch_size": 0}, r"`--data.epoch_size` \(=0\) must be at least 1"),
    ({"seed": -1}, r"`--seed_everything` \(=-1\) must be at least 0"),
])  # fmt: skip
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        CopyMemory(**arguments)
