"""CIFAR's files, read as their publisher and torchvision write them; damaged and dangerous ones are refused."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import datasets

from seqsum.data import digits
from seqsum.data.cifar import CIFAR, class_names, load_cifar
from seqsum.data.digits import load_splits
from seqsum.data.downloads import MissingDataError
from seqsum.errors import InputError
from tests.conftest import fail_downloads
from tests.data.cifar_files import FILES, FOLDERS, write_cifar, written

COUNT = 12


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    fail_downloads(monkeypatch)


@pytest.mark.parametrize("name", FILES)
def test_splits_are_what_the_files_contain(tmp_path, name):
    write_cifar(tmp_path, name, COUNT)
    for (images, labels), (expected, classes) in zip(load_cifar(name, tmp_path), written(name, COUNT), strict=True):
        assert images.dtype == torch.uint8
        assert torch.equal(images, expected)
        assert torch.equal(labels, classes)


@pytest.mark.parametrize("name", FILES)
def test_images_are_those_of_torchvision(tmp_path, name, monkeypatch):
    write_cifar(tmp_path, name, COUNT)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    made = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    for (images, labels), train in zip(load_cifar(name, tmp_path), (True, False), strict=True):
        theirs = made(tmp_path, train=train)
        assert np.array_equal(images.permute(0, 2, 3, 1).numpy(), theirs.data)
        assert labels.tolist() == theirs.targets
    assert class_names(name, tmp_path) == theirs.classes


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("keys", [str, str.encode])
def test_files_of_every_pickle_protocol_are_read(tmp_path, protocol, keys):
    folder = write_cifar(tmp_path, "cifar100", COUNT)
    content = pickle.loads((folder / "train").read_bytes())
    content = {keys(key): value for key, value in content.items()}
    content[keys("fine_labels")] = np.array(content[keys("fine_labels")])
    (folder / "train").write_bytes(pickle.dumps(content, protocol=protocol))
    (images, labels), _ = load_cifar("cifar100", tmp_path)
    assert torch.equal(images, written("cifar100", COUNT)[0][0])
    assert torch.equal(labels, written("cifar100", COUNT)[0][1])


def test_validation_is_the_end_of_the_training_files(tmp_path, monkeypatch):
    monkeypatch.setattr(digits, "VALIDATION_SIZE", 7)
    write_cifar(tmp_path, "cifar10", COUNT)
    splits = load_splits("cifar10", str(tmp_path))
    (images, labels), (tested, _) = written("cifar10", COUNT)
    assert torch.equal(splits["train"].images, images[:-7])
    assert torch.equal(splits["val"].images, images[-7:])
    assert torch.equal(torch.cat([splits["train"].labels, splits["val"].labels]), labels)
    assert torch.equal(splits["test"].images, tested)


class Harmful:
    """Pickled, it asks for a command to be run."""

    def __reduce__(self):
        return os.system, ("touch harmed",)


def change(**changes):
    def damage(content):
        return {name: value for name, value in (content | changes).items() if value is not None}

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (change(labels=[10] * COUNT), "`labels` must be numbers from 0 to 9"),
        (change(labels=[-1] * COUNT), "`labels` must be numbers from 0 to 9"),
        (change(labels=[0.5] * COUNT), "`labels` must be numbers from 0 to 9"),
        (change(labels=[1]), "`labels` must be a list with a label for each image"),
        (change(labels=None), "`labels` must be a list with a label for each image"),
        (change(data=np.zeros((COUNT, 784), np.uint8)), "`data` must be uint8 numbers, 3072 for each image"),
        (change(data=np.zeros((COUNT, 3072), np.float32)), "`data` must be uint8 numbers, 3072 for each image"),
        (change(data=np.zeros((0, 3072), np.uint8), labels=[]), "it contains no image"),
        (lambda _: [1, 2], "it contains no dict"),
        (lambda _: Harmful(), "it asks for posix.system"),
    ],
    ids=range(10),
)
def test_a_damaged_file_is_named_with_what_is_wrong(here, damage, message):
    folder = write_cifar(here, "cifar10", COUNT)
    file = folder / "data_batch_3"
    file.write_bytes(pickle.dumps(damage(pickle.loads(file.read_bytes())), protocol=4))
    with pytest.raises(InputError, match=f"{re.escape(str(file))}.*{re.escape(message)}"):
        load_cifar("cifar10", here)
    assert not Path("harmed").exists()


def test_a_truncated_file_is_named(tmp_path):
    file = write_cifar(tmp_path, "cifar100", COUNT) / "test"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(InputError, match=re.escape(f"{file} can't be read as a file of CIFAR")):
        load_cifar("cifar100", tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_what_is_missing_and_can_not_be_downloaded_is_said_and_nothing_is_left(tmp_path, name):
    with pytest.raises(MissingDataError, match=rf"`--data.root` \(={tmp_path}\) does not hold {name}.*no network"):
        load_splits(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "file"), [(name, file) for name, files in FILES.items() for file in files])
def test_a_missing_file_is_named(tmp_path, name, file):
    (write_cifar(tmp_path, name, COUNT) / file).unlink()
    with pytest.raises(MissingDataError, match=re.escape(f"({FOLDERS[name]}/{file} is missing), and downloading it")):
        load_splits(name, tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_a_download_ends_in_its_place(tmp_path, name, monkeypatch):
    source = write_cifar(tmp_path / "server", name, COUNT)
    asked = []

    def deliver(url, root, filename, md5):
        asked.append(url)
        shutil.copytree(source, Path(root) / FOLDERS[name])
        (Path(root) / filename).write_bytes(b"the archive")

    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda path, *_: Path(path).exists())
    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", deliver)
    root = tmp_path / "root"
    for _ in range(2):  # the second time it is there
        assert torch.equal(load_cifar(name, root)[0][0], written(name, COUNT)[0][0])
    assert len(asked) == 1
    assert [path.name for path in root.iterdir()] == [FOLDERS[name]]
    assert sorted(path.name for path in (root / FOLDERS[name]).iterdir()) == sorted(p.name for p in source.iterdir())


@pytest.mark.filterwarnings("ignore:Python 3.14 will")  # torchvision doesn't say which members of an archive it takes
@pytest.mark.parametrize("name", FILES)
def test_an_archive_that_was_downloaded_by_hand_is_unpacked(tmp_path, name, monkeypatch):
    fail_downloads(monkeypatch)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda path, *_: Path(path).exists())  # of files
    kind, folder = CIFAR[name].dataset, write_cifar(tmp_path / "made", name, COUNT)
    archive = tmp_path / "data" / kind.filename
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(folder, folder.name)
    content = archive.read_bytes()
    with pytest.raises(InputError, match=re.escape(f"{archive} is corrupt or not the publisher's")):
        load_cifar(name, archive.parent)
    assert archive.read_bytes() == content
    monkeypatch.setattr(kind, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    for found, expected in zip(load_cifar(name, archive.parent), written(name, COUNT), strict=True):
        assert torch.equal(found[0], expected[0])
        assert torch.equal(found[1], expected[1])
    assert archive.is_file()


def test_without_names_classes_are_numbers(tmp_path):
    folder = write_cifar(tmp_path, "cifar10", COUNT)
    assert class_names("cifar10", tmp_path)[3] == "kind 3"
    (folder / "batches.meta").unlink()
    assert class_names("cifar10", tmp_path) == [str(place) for place in range(10)]
