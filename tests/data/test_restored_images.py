"""Images to restore: how they are damaged, what is scored, and that the damage is the same where it should be."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqsum.data import Images, RestoredImages
from seqsum.data.counter_random import random_uniform
from seqsum.data.damage import GREY, add_noise, holes
from seqsum.data.index_tables import IndexBatch
from seqsum.data.own import OwnDigits, OwnSequence
from seqsum.errors import InputError
from tests.data.device_only import DEVICES, DeviceOnly


def table(count, seed=3, split="train", share=slice(None)):
    return IndexBatch(split, torch.arange(count).unsqueeze(1), seed, share)


def make_data(root, **arguments):
    data = RestoredImages(**{"dataset": "mnist", "root": str(root), "batch_size": 32, **arguments})
    data.setup("fit")
    return data


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_noise_replaces_a_share_of_the_numbers_half_by_black_half_by_white(share):
    pixels = torch.full((50, 3, 20, 20), 0.25)
    noisy = add_noise(pixels, table(50), share)
    for value, expected in ((0.0, share / 2), (1.0, share / 2), (0.25, 1 - share)):
        assert (noisy == value).float().mean() == pytest.approx(expected, abs=0.01)
    if 0 < share < 1:
        replaced = (noisy != 0.25).flatten(1)
        assert len(replaced.unique(dim=0)) == 50  # each image has its own
        assert 0 < (replaced[0] & replaced[1]).float().mean() < 1.5 * share**2 + 0.01  # independent of each other


@given(st.integers(1, 12), st.integers(0, 12), st.integers(0, 99))
def test_a_hole_is_a_whole_square_inside_the_image(side, more, seed):
    size = side + more
    inside = holes(torch.zeros(6, 1, size, size), table(6, seed), side)
    assert inside.shape == (6, 1, size, size)
    for of_image in inside[:, 0]:
        rows, columns = of_image.any(1).nonzero().flatten(), of_image.any(0).nonzero().flatten()
        assert len(rows) == len(columns) == side
        assert of_image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert of_image.sum() == side**2


def test_holes_are_everywhere_alike():
    inside = holes(torch.zeros(4000, 1, 10, 10), table(4000), 4)
    corners = inside.flatten(1).float().argmax(1)
    counts = torch.bincount(corners, minlength=100).view(10, 10)
    assert (counts[7:] == 0).all()
    assert (counts[:, 7:] == 0).all()
    assert counts[:7, :7].min() > 50  # 82 expected
    assert counts[:7, :7].max() < 125


def test_damage_does_not_follow_the_warps():
    warps = random_uniform(3, torch.arange(1_000), 2)
    first = holes(torch.zeros(1_000, 1, 28, 28), table(1_000), 4).flatten(1).float().argmax(1)
    noise = add_noise(torch.zeros(1_000, 1, 1, 1), table(1_000), 1.0).flatten()
    drawn = torch.stack([*warps.T, first // 28, first % 28, noise])
    assert drawn.corrcoef()[:2, 2:].abs().max() < 0.15


@pytest.mark.parametrize("damage", ["none", "noise", "hole"])
def test_inputs_are_damaged_and_targets_are_not(damage, mnist_root):
    data = make_data(mnist_root, damage=damage, augment=False, noise=0.4, hole=9)
    batch = data.gather(table(30))
    whole = data.images_of("train", torch.arange(30))
    torch.testing.assert_close(batch.targets, whole.flatten(1))
    given = data.as_images(batch.inputs)
    changed = (given - whole).abs() > 1e-5
    if damage == "none":
        assert not changed.any()
    if damage == "noise":
        assert 0.15 < changed.float().mean() < 0.4  # most of MNIST is black, which half of the noise leaves black
        torch.testing.assert_close(given[changed].clamp(0, 1).round(), given[changed])
    if damage == "hole":
        assert batch.target_mask.sum() == 30 * 81
        torch.testing.assert_close(given.flatten(1)[batch.target_mask], torch.full((30 * 81,), GREY))
        assert not (changed.flatten(1) & ~batch.target_mask).any()
    else:
        assert batch.target_mask is None


def test_warps_are_those_of_labelled_images_and_come_before_the_damage(mnist_root):
    labelled = Images("mnist", str(mnist_root), elastic=1.0, flip=True)
    labelled.setup("fit")
    expected = labelled.as_images(labelled.gather(table(20)).inputs)
    batch = make_data(mnist_root, damage="noise", elastic=1.0, flip=True).gather(table(20))
    torch.testing.assert_close(batch.targets, expected.flatten(1))


@pytest.mark.parametrize("damage", ["noise", "hole"])
def test_training_damages_anew_and_the_test_never(damage, mnist_root):
    data = make_data(mnist_root, damage=damage, augment=False)
    train, sampler = [], data.make_sampler("train", 0, 0, 1)
    for epoch in range(2):
        sampler.set_epoch(epoch)
        batch = next(iter(sampler))
        train.append(data.gather(batch._replace(rows=torch.arange(32).unsqueeze(1))).inputs)
    assert not torch.equal(*train)
    tests = []
    for epoch in range(2):
        loader = data.test_dataloader()
        loader.sampler.set_epoch(epoch)
        tests.append(data.gather(next(iter(loader))).inputs)
    assert torch.equal(*tests)


@pytest.mark.parametrize("damage", ["none", "noise", "hole"])
def test_processes_damage_their_share_as_one_would_all(damage, mnist_root):
    data = make_data(mnist_root, damage=damage)
    whole = data.gather(table(31))
    parts = [data.gather(table(31, share=slice(rank, None, 4))) for rank in range(4)]
    for rank, part in enumerate(parts):
        assert torch.equal(part.inputs, whole.inputs[rank::4])
        assert torch.equal(part.targets, whole.targets[rank::4])
        assert part.target_mask is None or torch.equal(part.target_mask, whole.target_mask[rank::4])
    none = data.gather(table(2, share=slice(3, None, 4)))  # the share of a fourth process in a short last batch
    assert none.inputs.shape == (0, 1, 1, 28, 28)
    assert none.targets.shape == (0, 784)


@pytest.mark.parametrize("damage", ["none", "noise", "hole"])
@pytest.mark.parametrize("device", DEVICES)
def test_a_batch_is_made_on_its_device_without_waiting_or_copying(damage, device, mnist_root):
    data = make_data(mnist_root, damage=damage)
    batch = table(20)._replace(rows=torch.arange(20, device=device).unsqueeze(1))
    data.digits_of(batch)  # moves the split, once
    with DeviceOnly(device):
        gathered = data.gather(batch)
    assert gathered.targets.shape == (20, 784)
    assert gathered.inputs.device.type == gathered.targets.device.type == device


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("damage", "scratches", "one of 'none', 'noise', 'hole'"),
        ("noise", -0.1, "between 0 and 1"),
        ("noise", 1.5, "between 0 and 1"),
        ("hole", 0, "between 1 and 28"),
        ("hole", 29, "between 1 and 28"),
    ],
)
def test_what_is_out_of_range_is_refused(name, value, allowed):
    with pytest.raises(InputError, match=rf"`--data\.{name}` \(={value!r}\) must be {allowed}"):
        RestoredImages(**{"dataset": "mnist", name: value})


def test_larger_images_have_larger_holes():
    assert RestoredImages(dataset="cifar10", hole=32).hole == 32
    with pytest.raises(InputError, match="between 1 and 32"):
        RestoredImages(dataset="cifar10", hole=33)


def test_each_of_a_users_images_is_damaged_in_its_own_way():
    data = RestoredImages("noise", dataset="rendered")
    data.own = OwnDigits([OwnSequence(torch.zeros(2, 28, 28, dtype=torch.uint8), ["a.png", "b.png"])], [], [])
    one, other = data.own_batches()
    assert not torch.equal(one.inputs, other.inputs)
