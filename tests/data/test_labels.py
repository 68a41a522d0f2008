"""Few labels: how rows are chosen, and what an epoch with them contains."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqsum.data import DigitSums, Images
from seqsum.data.labels import choose_rows
from seqsum.errors import InputError


@given(st.data())
def test_every_class_has_a_row_before_any_has_two_more_than_it(data):
    classes = data.draw(st.integers(2, 6))
    labels = torch.tensor([*range(classes), *data.draw(st.lists(st.integers(0, classes - 1), max_size=40))])
    count, seed = data.draw(st.integers(classes, len(labels))), data.draw(st.integers(0, 5))
    rows = choose_rows(labels, count, classes, seed)
    assert len(set(rows.tolist())) == count
    chosen, all_of = (torch.bincount(each, minlength=classes) for each in (labels[rows], labels))
    for label in range(classes):  # as many as any other class, unless it has no more
        assert chosen[label] == all_of[label] or chosen[label] >= chosen.max() - 1
    assert torch.equal(rows, choose_rows(labels, count, classes, seed))
    assert torch.equal(rows[:classes], choose_rows(labels, classes, classes, seed))


def test_the_choice_is_random_and_depends_on_the_seed():
    labels = torch.arange(1000) % 10
    seeds = [choose_rows(labels, 100, 10, seed) for seed in range(30)]
    assert len({tuple(rows.tolist()) for rows in seeds}) == 30
    drawn = torch.cat(seeds)
    assert 400 < drawn.float().mean() < 600  # not the first ones
    assert len(drawn.unique()) > 900
    firsts = torch.stack([labels[rows[:10]] for rows in seeds])
    assert (firsts[:, 0] == firsts[0, 0]).sum() < 15  # classes begin in another order
    assert torch.equal(firsts.sort(dim=1).values, torch.arange(10).expand(30, 10))


@pytest.mark.parametrize("count", [0, 9, 101])
def test_too_few_and_too_many_are_refused(count):
    with pytest.raises(InputError, match=rf"`--data\.labels` \(={count}\) must be all, or a number from 10 to 100"):
        choose_rows(torch.arange(100) % 10, count, 10, 0)


def test_a_class_without_examples_is_named():
    with pytest.raises(InputError, match=r"`--data\.labels` \(=4\): no training example is of class 1"):
        choose_rows(torch.tensor([0, 0, 2, 2, 2]), 4, 3, 0)


@pytest.mark.parametrize("kind", [Images, DigitSums])
def test_an_epoch_is_as_long_but_has_only_the_chosen_images(kind, mnist_root):
    few, all_of = (kind("mnist", str(mnist_root), seed=3, labels=labels) for labels in (20, "all"))
    for data in (few, all_of):
        data.setup("fit")
    whole = all_of.splits["train"]
    chosen = {digit.numpy().tobytes() for digit in few.splits["train"].images}
    rows = choose_rows(whole.labels, 20, 10, 3)
    assert chosen == {digit.numpy().tobytes() for digit in whole.images[rows]}
    for image, label in zip(*few.splits["train"], strict=True):
        assert label in whole.labels[(whole.images == image).flatten(1).all(1)]
    assert torch.bincount(few.splits["train"].labels, minlength=10).max() <= -(-len(whole.labels) // 20) * 2
    assert len(few.train_dataloader()) == len(all_of.train_dataloader())
    assert torch.equal(few.splits["val"].images, all_of.splits["val"].images)
    assert torch.equal(few.splits["test"].labels, all_of.splits["test"].labels)
    assert "; of train only 20 different)" in few.describe()
    assert "different" not in all_of.describe()


def test_repetitions_of_an_image_are_warped_in_their_own_ways(mnist_root):
    data = Images("mnist", str(mnist_root), batch_size=60, labels=10)
    data.setup("fit")
    (batch, *_) = data.train_dataloader()
    images = data.gather(batch).inputs
    assert len(images.flatten(1).unique(dim=0)) == len(images)
