"""Training sequences grow with the share of the training that is done; steps per epoch stay the same."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lightning.pytorch import Trainer
from lightning.pytorch.trainer.states import TrainerFn

from seqsum.data import DigitSums, EncodedSums
from seqsum.data.growing import GrowingBatches, Growth
from seqsum.errors import InputError

BEGINS = {0: 10, 0.4: 50, 0.7: 200}


def batches_of(epoch, begins=None, epochs=10, count=6_000, batch_size=32, rank=0, world_size=1):
    batches = GrowingBatches("train", count, Growth(begins or BEGINS), epochs, batch_size, 3, rank, world_size)
    batches.set_epoch(epoch)
    return list(batches)


def test_each_length_begins_at_its_share_of_the_training():
    lengths = [Growth(BEGINS).at(epoch, 10) for epoch in range(12)]
    assert lengths == [10] * 4 + [50] * 3 + [200] * 5  # a training may be continued beyond its end


def test_no_length_between_those_that_begin_is_trained_on():
    assert DigitSums(sequence_length=BEGINS).trained_lengths == [10, 50, 200]
    assert DigitSums(sequence_length=(2, 4)).trained_lengths == [2, 3, 4]
    assert DigitSums(sequence_length={0: 4, 0.3: 8, 0.8: 4}).trained_lengths == [4, 8]


def test_the_order_in_which_lengths_are_given_is_of_no_account():
    growth = Growth({0.7: 200, 0: 10, 0.4: 50})
    assert growth.begins == Growth(BEGINS).begins
    assert (growth.first, growth.last) == (10, 200)
    assert Growth({"0": 10, "0.4": 50}).begins == Growth({0: 10, 0.4: 50}).begins  # names in JSON are text


@settings(max_examples=60)
@given(st.integers(1, 40), st.integers(1, 4), st.integers(1, 12), st.integers(1, 60), st.integers(500, 4_000))
def test_an_epoch_has_the_same_steps_at_every_length_and_uses_all_digits_but_a_rest(
    batch_size, world_size, short, long, count
):
    growth = Growth({0: short, 0.5: long})
    try:
        sampler = GrowingBatches("train", count, growth, 2, batch_size, 3, 0, world_size)
    except InputError:
        assert count // max(short, long) < -(-(count // short) // (batch_size * world_size))
        return
    for epoch, length in enumerate((short, long)):
        batches = batches_of(epoch, {0: short, 0.5: long}, 2, count, batch_size, 0, world_size)
        sizes = [len(batch.rows) for batch in batches]
        used = torch.cat([batch.rows.flatten() for batch in batches])
        assert len(batches) == len(sampler)
        assert {batch.rows.shape[1] for batch in batches} == {length}
        assert max(sizes) - min(sizes) <= 1
        assert min(sizes) >= 1
        assert used.unique().numel() == used.numel() > count - length


def test_epochs_differ_and_processes_share_every_batch():
    first, later = batches_of(0), batches_of(1)
    assert not torch.equal(first[0].rows, later[0].rows)
    assert first[0].seed != later[0].seed
    for epoch in (0, 9):
        whole = batches_of(epoch)
        shares = [batches_of(epoch, batch_size=16, rank=rank, world_size=2) for rank in range(2)]
        for batch, one, other in zip(whole, *shares, strict=True):
            mine = torch.cat([one.rows[one.share], other.rows[other.share]])
            assert sorted(mine.flatten().tolist()) == sorted(batch.rows.flatten().tolist())
            assert one.seed == other.seed == batch.seed


@pytest.mark.parametrize(
    "begins", [{}, {0.4: 10}, {0: 10, 1: 20}, {0: 10, -0.5: 20}, {0: 0}, {0: 10, "x": 20}, {0: 10, "0": 20}]
)
def test_lengths_that_make_no_schedule_are_refused(begins):
    with pytest.raises(InputError, match=r"`--data\.sequence_length` \(=.*\) must"):
        DigitSums(sequence_length=begins)


SCALARS = st.none() | st.booleans() | st.floats() | st.binary() | st.text().filter(lambda text: not text.isdigit())
NO_LENGTHS = SCALARS | st.sets(st.integers(1, 9)) | st.lists(st.integers(1, 9))


@given(
    NO_LENGTHS.filter(lambda drawn: not isinstance(drawn, list) or len(drawn) != 2)
    | st.tuples(st.integers(1, 9), NO_LENGTHS)
    | st.lists(NO_LENGTHS, min_size=2, max_size=2)
    | st.builds(lambda length: {0: 4, 0.5: length}, NO_LENGTHS)
    | st.builds(
        lambda share: {0: 4, share: 8}, st.none() | st.just("a") | st.tuples() | st.just(math.nan) | st.binary()
    )
    | st.builds(lambda share: {share: 4}, st.booleans() | st.integers(1) | st.just(10**400))
)
@example({2, 5})
@example(b"\2\5")
def test_lengths_of_any_wrong_type_are_refused_in_words(setting):
    for data in (DigitSums, lambda sequence_length: EncodedSums("nowhere", sequence_length)):
        with pytest.raises(InputError, match=r"^`--data\.sequence_length` \(=(?s:.*)\) must"):
            data(sequence_length=setting)


def test_numbers_of_numpy_are_numbers():
    assert DigitSums(sequence_length=np.int64(4)).lengths == (4, 4)
    assert DigitSums(sequence_length=(np.int32(4), 8)).lengths == (4, 8)
    assert DigitSums(sequence_length={np.float32(0): np.int64(4), 0.5: 8}).growth.begins == [(0, 4), (0.5, 8)]


@pytest.mark.parametrize("begins", [BEGINS, {0: 10, 0.4: 200, 0.7: 50}])
def test_sequences_too_long_for_the_batches_are_refused(begins):
    with pytest.raises(InputError, match=r"600 digits are 3 sequences of 200, fewer than the 8 batches"):
        batches_of(0, begins, count=600, batch_size=8)


def digits(mnist_root, **arguments):
    return DigitSums("mnist", str(mnist_root), **({"sequence_length": {0: 2, 0.5: 5}, "batch_size": 20} | arguments))


@pytest.mark.parametrize(("begins", "last"), [({0: 2, 0.5: 5}, 5), ({0: 2, 0.3: 6, 0.8: 3}, 3)])
def test_validation_and_test_use_the_last_length(mnist_root, begins, last):
    data = digits(mnist_root, sequence_length=begins)
    data.setup("fit")
    assert data.lengths == (2, max(begins.values()))
    for loader in (data.val_dataloader(), data.test_dataloader()):
        assert {batch.rows.shape[1] for batch in loader} == {last}


@pytest.mark.parametrize(
    ("limits", "epochs"),
    [
        ({"max_epochs": 4}, 4),
        ({"max_epochs": -1, "max_steps": 1}, 1),
        ({"max_epochs": 9, "max_steps": 10_000}, 9),
        ({"max_epochs": 9_000, "max_steps": 10}, 1),
        ({"max_epochs": 90, "max_steps": 10, "limit_train_batches": 2}, 5),
        ({"max_epochs": 90, "max_steps": 9, "accumulate_grad_batches": 4, "limit_train_batches": 7}, 5),
        ({"max_epochs": 90, "max_steps": 10, "accumulate_grad_batches": 4, "limit_train_batches": 0.05}, 10),
    ],
)
def test_lengths_begin_by_share_of_the_shorter_limit(mnist_root, limits, epochs):
    data = digits(mnist_root)
    data.setup("fit")
    data.trainer = Trainer(**limits, logger=False, accelerator="cpu")
    loader = data.train_dataloader()
    assert loader.sampler.epochs == epochs
    if "max_steps" in limits and epochs < limits["max_epochs"]:
        assert len(loader) >= limits["max_steps"]  # an epoch is enough


@pytest.mark.parametrize(
    ("begins", "limits", "missed"),
    [
        ({0: 4, 0.96: 8}, {"max_epochs": 20}, "; but 20 epochs are too few for those of 8"),
        ({0: 4, 0.95: 8}, {"max_epochs": 20}, ""),  # the last of them
        ({0: 2, 0.4: 5}, {"max_epochs": 1}, "; but 1 epoch is too few for those of 5"),
        ({0: 2, 0.4: 5}, {"max_epochs": 9, "max_steps": 2}, "; but 1 epoch is too few for those of 5"),
        ({0: 2, 0.3: 5, 0.4: 3}, {"max_epochs": 2}, "; but 2 epochs are too few for those of 5"),  # the later one wins
        ({0: 2, 0.3: 5, 0.4: 3}, {"max_epochs": 1}, "; but 1 epoch is too few for those of 3 and 5"),
        ({0: 2, 0.4: 5}, {"max_epochs": 10**12}, ""),  # at once
    ],
)
def test_a_training_says_which_lengths_no_epoch_has(mnist_root, begins, limits, missed):
    data = digits(mnist_root, sequence_length=begins)
    data.setup("fit")
    data.trainer = Trainer(**limits, logger=False, accelerator="cpu")
    assert f" of {data.growth}, targets" in data.describe()
    data.trainer.state.fn = TrainerFn.FITTING
    assert f" of {data.growth}{missed}, targets" in data.describe()


@given(st.dictionaries(st.floats(0, 0.999), st.integers(1, 9), max_size=5), st.integers(1, 9), st.integers(1, 40))
def test_the_lengths_missed_are_those_that_no_epoch_has(later, first, epochs):
    growth = Growth({**later, 0: first})
    met = {growth.at(epoch, epochs) for epoch in range(epochs)}
    promised = {length for _, length in growth.begins}
    assert growth.missed(epochs) == sorted(promised - met)


def test_a_training_without_end_is_refused(mnist_root):
    data = digits(mnist_root)
    data.setup("fit")
    assert next(iter(data.train_dataloader())).rows.shape[1] == 2  # without a training, the first length
    data.trainer = Trainer(max_epochs=-1, logger=False, accelerator="cpu")
    with pytest.raises(InputError, match=r"needs `--trainer\.max_epochs` or `--trainer\.max_steps`; or"):
        data.train_dataloader()


def test_overfitted_batches_stay_the_same(mnist_root):
    data = digits(mnist_root)
    data.setup("fit")
    data.trainer = Trainer(max_epochs=2, overfit_batches=3, logger=False, accelerator="cpu")
    loader = data.train_dataloader()
    first = [batch.rows for batch in loader]
    loader.sampler.set_epoch(1)
    assert all(map(torch.equal, first, [batch.rows for batch in loader]))
    assert first[0].shape == (20, 2)


@pytest.mark.parametrize("share", [0.07, 0.14, 0.28, 0.29, 0.55, 0.56, 0.57, 0.58])
def test_a_length_begins_with_its_epoch_whatever_a_computer_makes_of_the_share(share):
    growth = Growth({0: 4, share: 8})
    first = round(100 * share)
    assert [growth.at(epoch, 100) for epoch in (first - 1, first)] == [4, 8]
    assert growth.missed(100) == []
