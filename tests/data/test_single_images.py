"""Single images: what a batch contains, augmentation, splits, and the sizes that networks follow."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from seqsum.data import Images
from seqsum.data.digits import load_splits
from seqsum.data.index_tables import IndexBatch
from seqsum.data.labelled_images import LabelledImages
from seqsum.errors import InputError
from tests.data.cifar_files import write_cifar, written
from tests.data.device_only import DEVICES, DeviceOnly


@pytest.mark.parametrize(
    ("dataset", "digits_only"), [("mnist", True), ("emnist_digits", True), ("fashion_mnist", False), ("kmnist", False)]
)
def test_only_a_users_digits_are_cut_out_like_digits(monkeypatch, dataset, digits_only):
    asked = []
    monkeypatch.setattr("seqsum.data.images.read_images", lambda *given, **options: asked.append((given, options)))
    Images(dataset, images="scans")._read_images()
    assert asked == [((["scans"],), {"digits_only": digits_only})]


@pytest.fixture(scope="module")
def cifar_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("cifar")
    write_cifar(root, "cifar10", 1_010)
    return root


def make_data(root, dataset="mnist", **arguments):
    data = Images(**{"dataset": dataset, "root": str(root), "batch_size": 32, **arguments})
    data.setup("fit")
    return data


def table(count, split="train", seed=3):
    return IndexBatch(split, torch.arange(count).unsqueeze(1), seed)


def test_a_batch_has_one_standardised_image_and_its_class(mnist_root):
    data = make_data(mnist_root)
    batch = data.gather(table(20, "val"))
    splits = load_splits("mnist", mnist_root)
    expected = (splits["val"].images[:20] / 255 - 0.1307) / 0.3081
    torch.testing.assert_close(batch.inputs, expected.view(20, 1, 1, 28, 28))
    assert torch.equal(batch.targets, splits["val"].labels[:20, None])
    torch.testing.assert_close(data.as_images(batch.inputs)[:, 0], splits["val"].images[:20] / 255)
    torch.testing.assert_close(data.images_of("val", torch.arange(20)), data.as_images(batch.inputs))


def test_colours_stay_in_their_order_and_are_standardised_by_themselves(cifar_root):
    data = make_data(cifar_root, "cifar10")
    batch = data.gather(table(20, "test"))
    pixels, labels = written("cifar10", 1_010)[1]
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]))
    torch.testing.assert_close(batch.inputs, ((pixels[:20] / 255 - mean) / std).unsqueeze(1))
    assert torch.equal(batch.targets.squeeze(1), labels[:20])
    torch.testing.assert_close(data.as_images(batch.inputs), pixels[:20] / 255)
    means = data.as_images(batch.inputs).mean(dim=(0, 2, 3))
    torch.testing.assert_close(means, torch.tensor([42, 127, 212]) / 255, atol=0.01, rtol=0)


def test_no_validation_image_is_trained_on(cifar_root):
    data = make_data(cifar_root, "cifar10", augment=False)
    seen = {split: {row.numpy().tobytes() for row in data.splits[split].images} for split in ("train", "val", "test")}
    assert [len(images) for images in seen.values()] == [50, 5_000, 1_010]
    assert not seen["train"] & seen["val"]
    assert not seen["test"] & (seen["train"] | seen["val"])
    batches = [data.on_after_batch_transfer(batch, 0) for batch in data.train_dataloader()]
    pixels = (data.as_images(torch.cat([batch.inputs for batch in batches])) * 255).round().byte()
    assert {row.numpy().tobytes() for row in pixels} == seen["train"]


@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
def test_training_images_are_warped_and_no_others(mnist_root, cifar_root, dataset):
    data = make_data(cifar_root if dataset == "cifar10" else mnist_root, dataset)
    plain = data._pixels(data.splits["train"].images[:8])
    assert (data.as_images(data.gather(table(8)).inputs) - plain).abs().amax(dim=(1, 2, 3)).min() > 0.1
    for split in ("val", "test"):
        torch.testing.assert_close(
            data.as_images(data.gather(table(8, split)).inputs), data.images_of(split, torch.arange(8))
        )


def test_a_warp_moves_all_colours_of_an_image_alike(cifar_root):
    data = make_data(cifar_root, "cifar10", elastic=1.5)
    data.splits["train"].images[:] = data.splits["train"].images[:, :1]  # three times the same
    red, green, blue = data.as_images(data.gather(table(8)).inputs).unbind(1)
    torch.testing.assert_close(red, green, atol=1e-5, rtol=0)
    torch.testing.assert_close(red, blue, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("dataset", "darkest"), [("mnist", 0), ("cifar10", 1)])
def test_outside_of_an_image_in_grey_it_is_black_and_one_in_colours_goes_on(mnist_root, cifar_root, dataset, darkest):
    data = make_data(cifar_root if dataset == "cifar10" else mnist_root, dataset)
    data.splits["train"].images.fill_(255)
    assert data.as_images(data.gather(table(8)).inputs).min().item() == pytest.approx(darkest, abs=1e-5)


def test_half_of_the_images_are_mirrored_whichever_way_they_are_warped(cifar_root, monkeypatch):
    drawn = []

    def still(numbers, size):
        drawn.append(numbers)
        return torch.eye(2, 3).repeat(len(numbers), 1, 1)

    monkeypatch.setattr("seqsum.data.augment.random_affine", still)
    data = make_data(cifar_root, "cifar10")
    images, plain = data.as_images(data.gather(table(50)).inputs), data.images_of("train", torch.arange(50))
    mirrored = (images - plain.flip(-1)).abs().amax(dim=(1, 2, 3)) < 1e-4
    kept = (images - plain).abs().amax(dim=(1, 2, 3)) < 1e-4
    assert torch.equal(mirrored, ~kept)
    assert 15 < mirrored.sum() < 35
    alike = (mirrored.unsqueeze(1) == (drawn[0] < 0)).sum(0)  # with each number of the warp
    assert 10 < alike.min() <= alike.max() < 40


@pytest.mark.parametrize(
    ("dataset", "flip", "expected"),
    [("mnist", None, False), ("cifar10", None, True), ("mnist", True, True), ("cifar10", False, False)],
)
def test_only_cifar_is_mirrored_by_default(dataset, flip, expected):
    assert Images(dataset, flip=flip).flip is expected


@pytest.mark.parametrize("arguments", [{}, {"elastic": 1.0}, {"flip": True}])
@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
@pytest.mark.parametrize("device", DEVICES)
def test_a_batch_is_made_on_its_device_without_waiting_or_copying(mnist_root, cifar_root, dataset, device, arguments):
    data = make_data(cifar_root if dataset == "cifar10" else mnist_root, dataset, **arguments)
    batch = IndexBatch("train", torch.arange(20).unsqueeze(1).to(device), 7, slice(1, None, 3))
    data.digits_of(batch)  # moves the split, once
    with DeviceOnly(device):
        gathered = data.gather(batch)
    assert gathered.inputs.shape == ((7, 1, 1, 28, 28) if dataset == "mnist" else (7, 1, 3, 32, 32))
    assert gathered.inputs.device.type == gathered.targets.device.type == device


def test_processes_share_a_batch_as_one_makes_it(cifar_root):
    data = make_data(cifar_root, "cifar10", elastic=1.0)
    whole = data.gather(table(21))
    for rank in range(2):
        share = data.gather(table(21)._replace(share=slice(rank, None, 2)))
        torch.testing.assert_close(share.inputs, whole.inputs[rank::2])
        assert torch.equal(share.targets, whole.targets[rank::2])
    assert data.gather(table(1)._replace(share=slice(1, None, 2))).inputs.shape == (0, 1, 3, 32, 32)


@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
def test_sizes_are_those_of_a_batch(mnist_root, cifar_root, dataset):
    data = make_data(cifar_root if dataset == "cifar10" else mnist_root, dataset)
    sizes = Images.sizes({"dataset": dataset})
    _, _, channels, rows, columns = data.gather(table(4)).inputs.shape
    assert sizes == {
        "in_channels": channels,
        "image_size": rows,
        "input_size": channels * rows * columns,
        "num_classes": len(data.class_names()),
    }


def test_classes_have_the_names_of_their_dataset(cifar_root):
    assert isinstance(Images(), LabelledImages)
    assert list(Images("mnist").class_names()) == list("0123456789")
    assert Images("fashion_mnist").class_names()[9] == "Ankle boot"
    assert Images("cifar10", str(cifar_root)).class_names()[3] == "kind 3"
    assert Images.sizes({"dataset": "cifar100"})["num_classes"] == 100


def test_own_images_become_batches_of_one(mnist_root, tmp_path):
    splits = load_splits("mnist", mnist_root)
    for place in range(2):
        Image.fromarray(splits["test"].images[place].numpy()).save(tmp_path / f"{place}.png")
    data = Images("mnist", str(mnist_root), images=str(tmp_path))
    data.setup("predict")
    batches = list(data.predict_dataloader())
    assert [batch.inputs.shape for batch in batches] == [(1, 1, 1, 28, 28)] * 2
    digits = torch.cat([digits for digits, _ in data.own.sequences])
    torch.testing.assert_close(torch.cat([data.as_images(batch.inputs)[0] for batch in batches]), digits / 255)


def test_own_images_of_colours_are_refused_in_words(cifar_root):
    data = Images("cifar10", str(cifar_root), images="photos/")
    with pytest.raises(
        InputError, match=r"`--data.images` can't be read by a network of `--data.dataset` \(=cifar10\)"
    ):
        data.setup("predict")


def test_description_and_wrong_settings(mnist_root):
    assert make_data(mnist_root).describe() == "mnist images (600 train, 5,000 val, 200 test), one at a time"
    with pytest.raises(InputError, match=r"`--data.elastic` \(=-1\) must be at least 0"):
        Images(elastic=-1)
