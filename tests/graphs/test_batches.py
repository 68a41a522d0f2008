"""Batches made by graphs equal batches made without them, bit for bit."""

import random

import pytest
import torch

from seqsum.data import CopyMemory, DigitRows, DigitSums, RestoredImages
from seqsum.graphs.batches import EAGER_BATCHES, BatchGraphs
from tests.graphs.stand_in import BatchStandIn


@pytest.fixture(params=[DigitSums, DigitRows])
def data(request, mnist_root):
    options = {"sequence_length": 3, "elastic": 1.0} if request.param is DigitSums else {}
    made = request.param(dataset="mnist", root=str(mnist_root), batch_size=16, **options)
    made.setup("fit")
    return made


def assert_same(actual, expected):
    for ours, theirs in zip(actual, expected, strict=True):
        assert (ours is None) == (theirs is None)
        assert ours is None or torch.equal(ours, theirs)


def test_batches_are_the_same(data, stand_in):
    make = BatchGraphs(data)
    kept = []
    for batch in data.train_dataloader():
        expected = data.gather(batch)._replace(rows=batch.rows.clone())
        actual = make(batch)
        assert_same(actual, expected)
        kept.append((actual, expected))
    assert len(kept) > EAGER_BATCHES + 2
    assert BatchStandIn.captured == 1  # the last, short batch comes once
    assert BatchStandIn.replayed == len(kept) - EAGER_BATCHES - 1
    for actual, expected in kept:  # the next batch has not written over them
        assert_same(actual, expected)


def test_each_shape_and_share_has_a_graph_of_its_own(data, stand_in):
    make, batches = BatchGraphs(data), list(data.train_dataloader())[: 2 * EAGER_BATCHES]
    for share in (slice(0, None, 2), slice(1, None, 2)):
        for batch in batches:
            part = batch._replace(share=share)
            assert_same(make(part), data.gather(part))
    assert BatchStandIn.captured == 2


def test_validation_batches_are_gathered_as_ever(data, stand_in):
    make = BatchGraphs(data)
    for batch in data.val_dataloader():
        assert_same(make(batch), data.gather(batch))
    assert BatchStandIn.captured == 0


@pytest.mark.parametrize(
    ("data_class", "name", "values"),
    [
        (DigitSums, "augment", (True, False, True)),
        (DigitSums, "elastic", (0.0, 2.0, 0.0)),
        (RestoredImages, "hole", (3, 5, 3)),
        (RestoredImages, "damage", ("noise", "hole", "noise")),
    ],
)
def test_a_setting_that_changes_takes_a_graph_of_its_own(data_class, name, values, mnist_root, stand_in):
    damage = {"damage": "hole"} if data_class is RestoredImages else {}
    data = data_class(dataset="mnist", root=str(mnist_root), batch_size=16, **damage)
    data.setup("fit")
    make, batches = BatchGraphs(data), list(data.train_dataloader())[: 2 * EAGER_BATCHES]
    for value in values:
        setattr(data, name, value)
        for batch in batches:
            assert_same(make(batch), data.gather(batch))
    assert BatchStandIn.captured == 2


def test_what_cannot_be_captured_goes_on_without_a_word_but_one(data, stand_in, monkeypatch):
    gather = data.gather

    def waits(batch):
        made = gather(batch)
        made.inputs.sum().item()
        return made

    monkeypatch.setattr(data, "gather", waits)
    make, batches = BatchGraphs(data), list(data.train_dataloader())[: EAGER_BATCHES + 3]
    for batch in batches[:EAGER_BATCHES]:
        make(batch)
    with pytest.warns(UserWarning, match=r"Batches are made without CUDA graphs, since one can't be captured"):
        make(batches[EAGER_BATCHES])
    for batch in batches[EAGER_BATCHES:]:  # a second warning would be an error
        assert_same(make(batch), data.gather(batch))


def test_batches_that_draw_on_the_host_are_made_as_written(data, stand_in, monkeypatch):
    gather = data.gather
    monkeypatch.setattr(data, "gather", lambda batch: gather(batch).map(lambda tensor: tensor * random.random()))
    make, batches = BatchGraphs(data), list(data.train_dataloader())[: EAGER_BATCHES + 2]
    random.seed(0)
    expected = [data.gather(batch) for batch in batches]
    random.seed(0)
    with pytest.warns(UserWarning, match="made without CUDA graphs.*random numbers are drawn on the host"):
        made = [make(batch) for batch in batches]
    for one, other in zip(made, expected, strict=True):
        assert_same(one, other)


def test_data_that_draw_from_a_generator_say_that_they_are_not_to_be_captured():
    assert DigitSums.is_capturable
    assert DigitRows.is_capturable
    assert not CopyMemory.is_capturable


class Mine(DigitSums):
    """A subclass, which may gather in another way and so is not capturable."""


@pytest.mark.parametrize("data_class", [DigitSums, Mine])
def test_a_training_captures_no_subclass(data_class, train, stand_in):
    train(data_class=data_class)
    assert (BatchStandIn.captured > 0) == (data_class is DigitSums)
