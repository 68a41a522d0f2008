from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.plugins.precision import Precision
from PIL import Image
from torch import Tensor

from seqsum.benchmarks.precision import float32_products
from seqsum.data import Batch, Digits, DigitSums, digits, running_targets
from seqsum.data.counter_random import random_uniform
from seqsum.data.digit_sums import scale
from seqsum.data.images.segment import cut_digits
from seqsum.data.index_tables import IndexBatch
from seqsum.data.rendered import render_digits
from seqsum.data.warps import random_affine, random_elastic, warp
from seqsum.errors import InputError
from tests.data.device_only import DEVICES, DeviceOnly

SPLITS = ["train", "val", "test"]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(request, *_, **__):
        raise URLError("no network here")

    monkeypatch.setattr("urllib.request.urlopen", refuse)


@pytest.fixture(scope="module")
def splits(mnist_root) -> dict[str, Digits]:
    return digits.load_splits("mnist", mnist_root)


def says(*parts: object) -> str:
    """Return a pattern for a message with these parts, in this order."""
    return ".*".join(re.escape(str(part)) for part in parts)


def data_on(root: Path, stage: str = "fit", **arguments) -> DigitSums:
    data = DigitSums("mnist", str(root), **({"batch_size": 16} | arguments))
    data.prepare_data()
    data.setup(stage)
    return data


def predicting(images: str | list[str]) -> DigitSums:
    data = DigitSums(images=images)
    data.setup("predict")
    return data


def index_batches(data: DigitSums, split: str) -> list[IndexBatch]:
    return list(getattr(data, f"{split}_dataloader")())


def batches(data: DigitSums, split: str = "train") -> list[Batch]:
    return [data.on_after_batch_transfer(batch, 0) for batch in index_batches(data, split)]


def same(first: list[Batch], second: list[Batch]) -> bool:
    return all(
        torch.equal(a.inputs, b.inputs) and torch.equal(a.targets, b.targets)
        for a, b in zip(first, second, strict=True)
    )


# Batches -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("split", "sizes"), [("train", [16] * 9 + [6]), ("val", [16] * 78 + [2]), ("test", [16, 16, 16, 2])]
)
def test_batches_have_the_documented_form(mnist_root, split, sizes):
    for size, batch in zip(sizes, batches(data_on(mnist_root, sequence_length=4), split), strict=True):
        assert isinstance(batch, Batch)
        assert (batch.inputs.shape, batch.inputs.dtype) == ((size, 4, 1, 28, 28), torch.float32)
        assert (batch.targets.shape, batch.targets.dtype) == ((size, 4), torch.float32)
        assert batch.mask is None


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("operation", ["alternating", "sum"])
def test_batches_equal_images_gathered_and_scaled_by_hand(mnist_root, splits, split, operation):
    data = data_on(mnist_root, augment=False, operation=operation, sequence_length=5)
    for indices, batch in zip(index_batches(data, split)[:6], batches(data, split), strict=False):
        for row, inputs, targets in zip(indices.rows, batch.inputs, batch.targets, strict=True):
            pixels = splits[split].images[row].double() / 255
            torch.testing.assert_close(inputs[:, 0].double(), (pixels - 0.1307) / 0.3081, atol=1e-5, rtol=0)
            assert torch.equal(targets, running_targets(splits[split].labels[row], operation))


def test_augmentation_warps_training_images_by_the_seed_of_their_batch(mnist_root, splits):
    data = data_on(mnist_root)
    indices = index_batches(data, "train")[1]
    pixels = splits["train"].images[indices.rows].flatten(0, 1)[:, None] / 255
    warped = warp(pixels, random_affine(random_uniform(indices.seed, torch.arange(len(pixels)), 6)))
    expected = ((warped - 0.1307) / 0.3081).unflatten(0, indices.rows.shape)
    torch.testing.assert_close(data.gather(indices).inputs, expected)


def test_augmentation_changes_training_inputs_alone(mnist_root):
    plain, augmented = data_on(mnist_root, augment=False), data_on(mnist_root, augment=True)
    for a, b in zip(batches(plain), batches(augmented), strict=True):
        assert torch.equal(a.targets, b.targets)
        assert (a.inputs != b.inputs).flatten(2).any(dim=2).all()  # every image
    assert same(batches(plain, "val"), batches(augmented, "val"))
    assert same(batches(plain, "test"), batches(augmented, "test"))


def test_elastic_warps_come_on_top_of_the_affine_ones(mnist_root):
    elastic, batch_seed = data_on(mnist_root, elastic=1.5), 7
    rows = torch.tensor([[0, 1, 2]])
    batch = elastic.gather(IndexBatch("train", rows, batch_seed))
    numbers = random_uniform(batch_seed, torch.arange(3), 38)
    images = elastic.splits["train"].images[rows[0]].unsqueeze(1) / 255
    warped = warp(images, random_affine(numbers[:, :6]), random_elastic(numbers[:, 6:], strength=1.5))
    torch.testing.assert_close(batch.inputs[0], (warped - 0.1307) / 0.3081)
    for split in ("val", "test"):
        assert same(batches(data_on(mnist_root), split), batches(elastic, split))
    assert same(batches(data_on(mnist_root, augment=False, elastic=1.5)), batches(data_on(mnist_root, augment=False)))


def test_the_default_is_to_augment(mnist_root):
    assert same(batches(data_on(mnist_root)), batches(data_on(mnist_root, augment=True)))


def test_a_range_of_lengths_gives_each_training_batch_its_own(mnist_root):
    data = data_on(mnist_root, sequence_length=[2, 5], batch_size=8)
    shapes = [batch.inputs.shape[:2] for batch in batches(data)]
    assert {length for _, length in shapes} == {2, 3, 4, 5}
    assert [batch.targets.shape for batch in batches(data)] == shapes
    for split in ("val", "test"):
        assert {batch.targets.shape[1] for batch in batches(data, split)} == {5}


@pytest.mark.parametrize("sequence_length", [1, 200, (1, 200), (1, 1)])
def test_the_shortest_and_the_longest_sequences_work(mnist_root, sequence_length):
    data = data_on(mnist_root, sequence_length=sequence_length, batch_size=3)
    longest = sequence_length if isinstance(sequence_length, int) else sequence_length[1]
    assert batches(data, "test")[0].inputs.shape == (1 if longest == 200 else 3, longest, 1, 28, 28)
    assert batches(data, "train")[0].targets.shape[1] <= longest


@pytest.mark.parametrize("split", SPLITS)
def test_a_process_without_a_row_gets_an_empty_batch(mnist_root, split):
    empty = IndexBatch(split, torch.zeros(0, 4, dtype=torch.long), seed=5)
    batch = data_on(mnist_root).gather(empty)
    assert (batch.inputs.shape, batch.targets.shape) == ((0, 4, 1, 28, 28), (0, 4))


# Seeds, workers, processes -------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_batches(mnist_root):
    assert same(batches(data_on(mnist_root, seed=7)), batches(data_on(mnist_root, seed=7)))


def test_another_seed_gives_other_training_batches_and_the_same_evaluation(mnist_root):
    first, other = data_on(mnist_root, seed=7), data_on(mnist_root, seed=8)
    assert not any(torch.equal(a.targets, b.targets) for a, b in zip(batches(first), batches(other), strict=True))
    assert same(batches(first, "val"), batches(other, "val"))
    assert same(batches(first, "test"), batches(other, "test"))


def test_workers_change_nothing(mnist_root):
    assert same(batches(data_on(mnist_root, num_workers=1)), batches(data_on(mnist_root)))


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("split", SPLITS)
def test_the_processes_of_a_trainer_share_each_batch_warps_included(mnist_root, split, world_size):
    whole = batches(data_on(mnist_root, batch_size=18, elastic=0.5, sequence_length=4), split)
    for rank in range(world_size):
        data = data_on(mnist_root, batch_size=18 // world_size, elastic=0.5, sequence_length=4)
        data.trainer = SimpleNamespace(
            global_rank=rank, world_size=world_size, precision_plugin=Precision(), overfit_batches=0.0
        )
        for batch, part in zip(whole, batches(data, split), strict=True):
            assert torch.equal(batch.inputs[rank::world_size], part.inputs)
            assert torch.equal(batch.targets[rank::world_size], part.targets)
            assert torch.equal(batch.rows, part.rows)


def test_a_process_draws_numbers_for_its_own_images_alone(mnist_root, monkeypatch):
    drawn = []

    def draw(seed: int, rows: Tensor, draws: int) -> Tensor:
        drawn.append((seed, rows.tolist(), draws))
        return random_uniform(seed, rows, draws)

    monkeypatch.setattr("seqsum.data.augment.random_uniform", draw)
    rows = torch.arange(10).view(5, 2)
    data_on(mnist_root).gather(IndexBatch("train", rows, 7, slice(1, None, 3)))
    data_on(mnist_root, elastic=1.0).gather(IndexBatch("train", rows, 7, slice(2, None, 3)))
    assert drawn == [(7, [2, 3, 8, 9], 6), (7, [4, 5], 38)]


def test_warps_differ_between_images_batches_epochs_and_seeds(mnist_root):
    seen = []
    for seed in (0, 1):
        data = data_on(mnist_root, seed=seed, elastic=1.0)
        loader = data.train_dataloader()
        for epoch in (0, 1):
            loader.sampler.set_epoch(epoch)
            same_image = [batch._replace(rows=torch.zeros_like(batch.rows)) for batch in loader]
            seen += [data.gather(batch).inputs.flatten(0, 1).flatten(1) for batch in same_image]
    images = torch.cat(seen)
    assert len(images) == 2 * 2 * 600
    assert len(images.unique(dim=0)) == len(images)


# Devices -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [slice(None), slice(1, None, 3)], ids=["all", "share"])
@pytest.mark.parametrize("arguments", [{}, {"elastic": 1.0}, {"augment": False}, {"operation": "sum"}])
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("device", DEVICES)
def test_a_batch_is_made_on_its_device_without_waiting_or_copying(mnist_root, device, split, arguments, share):
    data = data_on(mnist_root, **arguments)
    batch = IndexBatch(split, torch.arange(20).view(5, 4).to(device), 7, share)
    data.digits_of(batch)  # moves the split, once
    with DeviceOnly(device) as guard:
        gathered = data.gather(batch)
    assert gathered.inputs.device.type == gathered.targets.device.type == device
    assert ("grid_sampler_2d" in guard.operations) == (split == "train" and data.augment)


@pytest.mark.parametrize(("arguments", "launches"), [({"augment": False}, 10), ({}, 52), ({"elastic": 1.0}, 56)])
def test_a_batch_takes_few_launches(mnist_root, arguments, launches):
    data = data_on(mnist_root, **arguments)
    batch = index_batches(data, "train")[0]
    with DeviceOnly("cpu") as guard:
        data.gather(batch)
    views = {"alias", "expand", "permute", "select", "slice", "t", "unbind", "unsqueeze", "view", "_unsafe_view"}
    assert len([name for name in guard.operations if name not in views]) <= launches  # of kernels, on a GPU


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("arguments", [{}, {"elastic": 1.0}, {"augment": False}])
@float32_products("ieee")
def test_a_gpu_makes_the_same_batch_without_waiting(mnist_root, arguments):
    data = data_on(mnist_root, **arguments)
    batch = index_batches(data, "train")[0]
    expected = data.gather(batch)
    there = batch._replace(rows=batch.rows.cuda())
    data.gather(there)  # moves the split, and loads the kernels
    torch.cuda.set_sync_debug_mode("error")
    try:
        gathered = data.gather(there)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(gathered.inputs.cpu(), expected.inputs, atol=1e-3, rtol=0)
    assert torch.equal(gathered.targets.cpu(), expected.targets)


class Recorder(LightningModule):
    """A module that trains nothing and keeps the targets it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(0.5))
        self.shown: list[list[Tensor]] = []
        self.shown_in_validation: list[list[Tensor]] = []

    def on_train_epoch_start(self) -> None:
        self.shown.append([])

    def on_validation_epoch_start(self) -> None:
        self.shown_in_validation.append([])

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.shown[-1].append(batch.targets)
        return self.weight * batch.inputs.mean()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.shown_in_validation[-1].append(batch.targets)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.filterwarnings("ignore:.*does not have many workers")  # index tables need none
def test_a_trainer_deals_training_anew_each_epoch_and_validation_never(mnist_root):
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(
        max_epochs=2, accelerator="cpu", devices=1, num_sanity_val_steps=0, enable_model_summary=False, **quiet
    )
    recorder, data = Recorder(), DigitSums("mnist", str(mnist_root), batch_size=16, seed=7)
    trainer.fit(recorder, data)
    first, second = recorder.shown
    assert len(first) == len(second) == 10
    expected = batches(data_on(mnist_root, seed=7))
    assert all(torch.equal(shown, batch.targets) for shown, batch in zip(first, expected, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    before, after = recorder.shown_in_validation
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


# The user's own images -----------------------------------------------------------------------------


def test_predict_serves_each_sequence_of_images_scaled(tmp_path):
    rendered = render_digits(5, seed=4)[0].numpy() / 255
    drawn = torch.from_numpy(np.concatenate([cut_digits(digit) for digit in rendered]))  # in MNIST's form
    Image.fromarray(drawn[0].numpy()).save(tmp_path / "1.png")
    Image.fromarray(drawn[1].numpy()).save(tmp_path / "2.png")
    strip = tmp_path / "3.png"
    Image.fromarray(torch.cat(list(drawn[2:]), dim=1).numpy()).save(strip)
    data = predicting(images=str(tmp_path))
    singles, cut = (data.on_after_batch_transfer(batch, 0) for batch in data.predict_dataloader())
    assert torch.equal(singles.inputs, scale(drawn[:2])[None])
    assert torch.equal(cut.inputs, scale(drawn[2:])[None])
    data = predicting(images=[str(strip), str(strip)])
    assert [tuple(batch.inputs.shape) for batch in data.predict_dataloader()] == [(1, 3, 1, 28, 28)] * 2


def test_predict_without_images_names_the_flag(mnist_root):
    with pytest.raises(InputError, match=says("`--data.images`", "image files, or a folder")):
        data_on(mnist_root, "predict")


# A user's mistakes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, -3, [0, 4], (-1, 2)])
def test_a_sequence_length_out_of_range_is_named(value):
    with pytest.raises(InputError, match=says(f"`--data.sequence_length` (={value})", "at least 1", "shortest")):
        DigitSums(sequence_length=value)


def test_lengths_in_the_wrong_order_are_named():
    with pytest.raises(InputError, match=says("`--data.sequence_length` (=[5, 3])", "must be [shortest, longest]")):
        DigitSums(sequence_length=(5, 3))


@pytest.mark.parametrize(
    ("value", "longest", "split", "allowed"),
    [
        (10_000_000, 10_000_000, "train", 600),
        ([2, 601], 601, "train", 600),
        (600, 600, "test", 200),
        (201, 201, "test", 200),
    ],
)
def test_a_sequence_longer_than_a_split_is_named(mnist_root, value, longest, split, allowed):
    with pytest.raises(
        InputError, match=says(f"`--data.sequence_length` (={longest})", f"at most {allowed}", f"{split} split")
    ):
        data_on(mnist_root, sequence_length=value)


@pytest.mark.parametrize("value", [0, -8])
def test_a_batch_size_below_one_is_named(value):
    with pytest.raises(InputError, match=says(f"`--data.batch_size` (={value})", "at least 1")):
        DigitSums(batch_size=value)


def test_a_split_is_read_once_for_all_stages(mnist_root):
    data = data_on(mnist_root)
    images = data.splits["test"].images
    data.setup("test")
    assert data.splits["test"].images is images


def test_missing_data_are_found_before_training_starts(tmp_path):
    with pytest.raises(InputError, match=says(f"`--data.root` (={tmp_path})", "kmnist", "no network here")):
        DigitSums("kmnist", str(tmp_path)).prepare_data()


# Descriptions --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sequences"),
    [
        (
            {},
            "sequences of 4, 8 (from 30 % of the training on), 4 (from 80 % of the training on), targets +d1 -d2 +d3 …",
        ),
        ({"sequence_length": 5}, "sequences of 5, targets +d1 -d2 +d3 …"),
        ({"sequence_length": [3, 9], "operation": "sum"}, "sequences of 3 to 9, targets +d1 +d2 +d3 …"),
    ],
)
def test_the_description_tells_what_is_learned_from_what(mnist_root, arguments, sequences):
    description = data_on(mnist_root, **arguments).describe()
    assert description == f"mnist digits (600 train, 5,000 val, 200 test) in {sequences}"


def test_auto_tells_which_digits_were_really_used(mnist_root, tmp_path, monkeypatch):
    here = DigitSums("auto", str(mnist_root))
    here.prepare_data()
    assert here.dataset == "mnist"
    monkeypatch.setattr(digits, "render_digits", lambda count, seed: render_digits(count // 500, seed))
    monkeypatch.setattr(digits, "VALIDATION_SIZE", 20)
    elsewhere = DigitSums("auto", str(tmp_path / "new"), batch_size=8, sequence_length=4)
    with pytest.warns(UserWarning, match="NOT MNIST"):
        elsewhere.prepare_data()
    elsewhere.setup("fit")  # does not warn again
    assert elsewhere.dataset == "rendered"
    assert elsewhere.describe().startswith("rendered digits (100 train, 20 val, 20 test)")
    assert batches(elsewhere)[0].inputs.shape == (8, 4, 1, 28, 28)
