"""A few labels: the same for the same seed, and every class among them."""

from __future__ import annotations

import pytest
import torch

from seqsum.data import DigitSums, Images
from seqsum.data.digit_data import few_labels
from seqsum.data.digits import Digits
from seqsum.data.labels import choose_rows
from seqsum.errors import InputError

RARE = torch.tensor([0] * 500 + [1] + [2] * 499)


def test_every_class_is_among_them_however_few_there_are():
    for seed in range(50):
        for count in (3, 4, 100):
            rows = choose_rows(RARE, count, 3, seed)
            assert len(rows.unique()) == len(rows) == count
            assert rows.equal(rows.sort().values)
            assert RARE[rows].unique().tolist() == [0, 1, 2]


def test_the_same_seed_chooses_the_same_and_another_seed_others():
    labels = torch.arange(1000) % 10
    first, again, other = (choose_rows(labels, 100, 10, seed) for seed in (3, 3, 4))
    assert first.equal(again)
    assert len(set(first.tolist()) & set(other.tolist())) < 30
    larger = choose_rows(labels, 300, 10, 3)
    assert set(first.tolist()) < set(larger.tolist())


def test_rows_are_chosen_evenly():
    labels = torch.arange(40) % 2
    chosen = torch.cat([choose_rows(labels, 10, 2, seed) for seed in range(2_000)]).bincount(minlength=40)
    assert ((chosen - 500).abs() < 5 * (2_000 * 0.25 * 0.75) ** 0.5).all()  # five standard deviations


def test_all_rows_may_be_chosen():
    assert choose_rows(RARE, 1_000, 3, 0).tolist() == list(range(1_000))


@pytest.mark.parametrize(
    ("labels", "count", "message"),
    [
        (RARE, 2, r"`--data\.labels` \(=2\) must be between 3, one for each class, and 1,000"),
        (RARE, 1_001, r"`--data\.labels` \(=1001\) must be between 3"),
        (RARE[:501], 100, r"`--data\.labels` \(=100\): there is nothing of class 2"),
    ],
)
def test_what_cannot_be_chosen_is_refused(labels, count, message):
    with pytest.raises(InputError, match=message):
        choose_rows(labels, count, 3, 0)


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
    assert len(few.train_dataloader()) == len(all_of.train_dataloader())
    assert torch.equal(few.splits["val"].images, all_of.splits["val"].images)
    assert torch.equal(few.splits["test"].labels, all_of.splits["test"].labels)
    assert "; of train only 20 different)" in few.describe()
    assert "different" not in all_of.describe()


def test_images_are_repeated_in_turn():
    digits = Digits(torch.arange(1_000).view(-1, 1, 1), torch.arange(1_000) % 10)
    images, labels = few_labels(digits, 30, seed=0)
    rows = images.flatten()
    assert torch.equal(rows[30:], rows[:-30])
    assert len(rows[:30].unique()) == 30
    assert torch.equal(labels, rows % 10)


def test_repetitions_of_an_image_are_warped_in_their_own_ways(mnist_root):
    data = Images("mnist", str(mnist_root), batch_size=60, labels=10)
    data.setup("fit")
    (batch, *_) = data.train_dataloader()
    images = data.gather(batch).inputs
    assert len(images.flatten(1).unique(dim=0)) == len(images)
