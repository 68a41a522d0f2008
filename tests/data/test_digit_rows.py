"""Images as sequences of rows or columns, compared with the images themselves."""

import pytest
import torch

from seqsum.data import DigitRows
from seqsum.data.digits import load_splits
from seqsum.data.index_tables import IndexBatch
from seqsum.errors import InputError
from tests.data.device_only import DEVICES, DeviceOnly


@pytest.fixture(scope="module")
def splits(mnist_root):
    return load_splits("mnist", mnist_root)


def make_data(mnist_root, **arguments):
    data = DigitRows(**{"dataset": "mnist", "root": str(mnist_root), "batch_size": 64, **arguments})
    data.setup("fit")
    return data


def all_of(data, loader):
    batches = [data.on_after_batch_transfer(rows, 0) for rows in loader]
    return torch.cat([batch.inputs for batch in batches]), torch.cat([batch.targets for batch in batches])


def test_the_test_split_is_read_row_by_row_each_image_once(mnist_root, splits):
    data = make_data(mnist_root)
    inputs, targets = all_of(data, data.test_dataloader())
    assert inputs.shape == (200, 28, 28)
    assert torch.equal(targets, targets[:, :1].expand(-1, 28))
    expected = sorted(zip(splits["test"].labels.tolist(), (splits["test"].images / 255).tolist(), strict=True))
    assert sorted(zip(targets[:, -1].tolist(), inputs.tolist(), strict=True)) == expected


def test_columns_are_the_rows_of_the_transposed_image(mnist_root):
    rows, columns = make_data(mnist_root), make_data(mnist_root, steps="columns")
    assert torch.equal(
        all_of(columns, columns.test_dataloader())[0], all_of(rows, rows.test_dataloader())[0].transpose(1, 2)
    )


def test_threshold_makes_pixels_zero_or_one(mnist_root, splits):
    data = make_data(mnist_root, threshold=0.1)
    inputs = data.as_steps(splits["test"].images)
    assert torch.equal(inputs, (splits["test"].images > 25).float())  # 0.1 of 255 is 25.5


@pytest.mark.parametrize("arguments", [{}, {"steps": "columns"}, {"threshold": 0.1}])
@pytest.mark.parametrize("device", DEVICES)
def test_a_batch_is_made_on_its_device_without_waiting_or_copying(mnist_root, device, arguments):
    data = make_data(mnist_root, **arguments)
    batch = IndexBatch("train", torch.arange(20).unsqueeze(1).to(device), 7, slice(1, None, 3))
    data.digits_of(batch)  # moves the split, once
    with DeviceOnly(device):
        gathered = data.gather(batch)
    assert gathered.inputs.shape == (7, 28, 28)
    assert gathered.inputs.device.type == gathered.targets.device.type == device


def test_training_order_is_the_seeds_and_another_in_each_epoch(mnist_root):
    def order(seed, epoch):
        loader = make_data(mnist_root, seed=seed).train_dataloader()
        loader.sampler.set_epoch(epoch)
        return torch.cat([batch.rows for batch in loader]).flatten().tolist()

    assert sorted(order(0, 0)) == list(range(600))
    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


def test_all_images_but_the_tests_can_be_trained_on(mnist_root, splits):
    data = make_data(mnist_root, train_on="all", batch_size=1_000)
    data.setup("test")  # a second time, which must not add them again
    _, targets = all_of(data, data.train_dataloader())
    expected = torch.cat([splits["train"].labels, splits["val"].labels])
    assert torch.equal(targets[:, 0].sort().values, expected.sort().values)
    assert len(all_of(data, data.val_dataloader())[1]) == 5_000


@pytest.mark.parametrize("steps", ["rows", "columns"])
def test_images_come_back_from_steps(mnist_root, splits, steps):
    data = make_data(mnist_root, steps=steps)
    images = splits["test"].images[:5]
    torch.testing.assert_close(data.as_images(data.as_steps(images)), images / 255)


def test_without_images_a_random_one_of_the_test_split_is_predicted(mnist_root, splits):
    chosen = []
    for seed in (3, 3, 4):
        data = make_data(mnist_root, seed=seed)
        data.setup("predict")
        (batch,) = data.predict_dataloader()
        assert batch.inputs.shape == (1, 28, 28)
        chosen.append((splits["test"].images / 255 == batch.inputs).all(dim=(1, 2)).nonzero().flatten().tolist())
    assert chosen[0] == chosen[1] != chosen[2]
    assert all(chosen)


def test_description(mnist_root):
    described = make_data(mnist_root, steps="columns", threshold=0.1).describe()
    assert described.startswith("mnist digits (600 train, 5,000 val, 200 test) by columns")
    assert described.endswith("pixels 0 or 1 (threshold 0.1), one label for all steps")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": "diagonals"}, r"`--data.steps` \(='diagonals'\) must be one of 'rows', 'columns'"),
        ({"threshold": 1.0}, r"`--data.threshold` \(=1.0\) must be at least 0 and below 1"),
        ({"train_on": "test"}, r"`--data.train_on` \(='test'\) must be one of 'train', 'all'"),
        ({"batch_size": 0}, r"`--data.batch_size` \(=0\) must be at least 1"),
        ({"seed": -1}, r"`--seed_everything` \(=-1\) must be at least 0"),
    ],
)
def test_wrong_settings_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        DigitRows(**arguments)


def test_a_pixel_at_the_threshold_is_0():
    pixels = torch.tensor([[[0, 51, 52]]], dtype=torch.uint8)
    assert DigitRows("rendered", threshold=0.2).as_steps(pixels).tolist() == [[[0, 0, 1]]]
    assert DigitRows("rendered", threshold=0).as_steps(pixels).tolist() == [[[0, 1, 1]]]
