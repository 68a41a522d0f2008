from __future__ import annotations

import pytest
import torch
from torch import Tensor

from seqsum.data import rendered
from seqsum.data.rendered import render_digits


@pytest.fixture(scope="module")
def drawn() -> tuple[Tensor, Tensor]:
    return render_digits(1_003, seed=5)


def test_digits_have_the_form_of_mnist(drawn):
    images, labels = drawn
    assert (images.shape, images.dtype) == ((1_003, 28, 28), torch.uint8)
    assert (labels.shape, labels.dtype) == ((1_003,), torch.int64)


def test_labels_are_balanced_and_shuffled(drawn):
    labels = drawn[1]
    assert sorted(labels.bincount().tolist()) == [100] * 7 + [101] * 3
    repeats = (labels[1:] == (labels[:-1] + 1) % 10).float().mean()  # all of them if in order, a tenth by chance
    assert repeats < 0.2


def test_digits_are_white_on_black_with_ink_in_the_middle(drawn):
    images = drawn[0].float()
    border = torch.cat([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], dim=1)
    assert border.mean() < 5
    assert images[:, 4:24, 4:24].mean() > 40
    assert images.flatten(1).max(dim=1).values.min() > 200


def test_digits_follow_the_seed(drawn):
    again, other = render_digits(1_003, seed=5), render_digits(1_003, seed=6)
    assert torch.equal(again[0], drawn[0])
    assert torch.equal(again[1], drawn[1])
    assert not torch.equal(other[1], drawn[1])
    assert (other[0] == drawn[0]).flatten(1).all(dim=1).sum() == 0


def test_no_image_comes_twice(drawn):
    assert len(drawn[0].flatten(1).unique(dim=0)) == 1_003


def test_centroids_of_one_set_read_another(drawn):
    images, labels = drawn
    pixels = images.flatten(1).float()
    centroids = torch.stack([pixels[labels == digit].mean(dim=0) for digit in range(10)])
    others, truth = render_digits(400, seed=8)
    readings = torch.cdist(others.flatten(1).float(), centroids).argmin(dim=1)
    hits = readings == truth
    assert hits.float().mean() > 0.6
    assert min(hits[truth == digit].float().mean() for digit in range(10)) > 0.3  # and no class is unreadable


@pytest.mark.parametrize("count", [1, 9, 64, 65])
def test_digits_drawn_in_chunks_are_as_many_as_asked_for(count, monkeypatch):
    labels = render_digits(count, seed=2)[1]
    monkeypatch.setattr(rendered, "CHUNK", 32)
    images, labels_in_chunks = render_digits(count, seed=2)
    assert len(images) == count
    assert torch.equal(labels_in_chunks, labels)
