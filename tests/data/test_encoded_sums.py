"""Features that were computed before, in sequences with their running sums."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from seqsum.data import EncodedSums
from seqsum.errors import InputError


def write(path, **changes):
    """Write one-hot features of random digits, the digit times two."""
    torch.manual_seed(0)
    labels = {split: torch.randint(0, 10, (count,)) for split, count in (("train", 300), ("val", 60), ("test", 50))}
    splits = {split: {"features": 2.0 * F.one_hot(of, 10), "labels": of} for split, of in labels.items()}
    torch.save({**splits, **changes}, path)
    return str(path)


@pytest.mark.parametrize("operation", ["alternating", "sum"])
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_each_sequence_has_its_digits_features_and_their_running_sums(tmp_path, split, operation):
    data = EncodedSums(write(tmp_path / "features.pt"), 5, operation, batch_size=8)
    data.setup("fit")
    digits = 0
    for table in data._dataloader(split):
        batch = data.gather(table)
        labels = batch.inputs.argmax(-1)
        assert torch.equal(batch.inputs, 2.0 * F.one_hot(labels, 10))
        signs = torch.tensor([1, -1, 1, -1, 1]) if operation == "alternating" else torch.ones(5)
        assert torch.equal(batch.targets, (labels * signs).cumsum(1).float())
        digits += labels.numel()
    assert digits == data.count(split)
    assert data.describe() == "10 features a digit, in sequences of 5"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not a file"),
        (b"", "can't be used"),
        ({"test": None}, "can't be used"),
        (
            {"test": {"features": torch.zeros(3, 2), "labels": torch.zeros(2).long()}},
            r"the test split has other numbers of features \(3\) and labels \(2\)",
        ),
        (
            {"val": {"features": torch.zeros(3), "labels": torch.zeros(3).long()}},
            r"`features` .* \(3,\) of",
        ),
        ({"val": {"features": torch.zeros(3, 2).int(), "labels": torch.zeros(3).long()}}, "torch.int32"),
        ({"val": {"features": torch.zeros(3, 2), "labels": [1, 2, 3]}}, "`labels` .* but list"),
        ({"val": {"features": torch.zeros(3, 2), "labels": torch.zeros(3, 2).long()}}, r"`labels` .* \(3, 2\)"),
        ({"val": {"features": torch.zeros(3, 2), "labels": torch.zeros(3)}}, "`labels` .* torch.float32"),
    ],
)
def test_files_of_other_things_are_refused(tmp_path, content, message):
    path = tmp_path / "features.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        write(path, **content)
    with pytest.raises(InputError, match=r"`--data\.features` \(=.*\) (can't be used|has|is).*"):
        EncodedSums(str(path)).setup("fit")
    with pytest.raises(InputError, match=message):
        EncodedSums(str(path)).load()


def test_a_sequence_longer_than_a_split_is_refused(tmp_path):
    data = EncodedSums(write(tmp_path / "features.pt"), 55)
    with pytest.raises(InputError, match=r"`--data.sequence_length` \(=55\) must be at most 50, .* in the test split"):
        data.load()
