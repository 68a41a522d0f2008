"""Loads datasets of images into memory: per split one uint8 tensor of images and one of labels."""

from __future__ import annotations

import gzip
import os
import warnings
import zlib
from math import prod
from pathlib import Path
from typing import Any, Literal, NamedTuple

from torch import Tensor
from torchvision import datasets

from seqsum.data.base import Split
from seqsum.data.cifar import CIFAR, load_cifar
from seqsum.data.downloads import DEFAULT_ROOT, MissingDataError, downloading, move_to_place, warn_of_unused
from seqsum.data.rendered import render_digits
from seqsum.errors import InputError
from seqsum.files import move
from seqsum.paths import expand_home

DatasetName = Literal["auto", "mnist", "fashion_mnist", "kmnist", "qmnist", "emnist_digits", "rendered"]
VALIDATION_SIZE = 5_000  # the last images of the train split, as in Madsen & Johansen (2020)


class Digits(NamedTuple):
    """One split: uint8 images `(N, 28, 28)`, or in colours `(N, 3, 32, 32)`, and int64 labels `(N,)` from 0."""

    images: Tensor
    labels: Tensor


def resolve_dataset(name: str, root: str | Path) -> str:
    """Return the dataset to use for `name`.

    `auto` becomes `mnist` if MNIST is below `root` or can be downloaded there, otherwise `rendered`, with a
    warning. Any other name is returned as it is.
    """
    if name == "rendered" and str(root) != DEFAULT_ROOT and not _FAMILY["mnist"].missing(Path(expand_home(root))):
        warn_of_unused(root, "mnist", "rendered")
    if name != "auto":
        return name
    try:
        _read("mnist", root) or _download("mnist", root)
    except MissingDataError as error:
        warnings.warn(
            f"THIS IS NOT MNIST: the run uses digits rendered from fonts. {error} "
            "Its figures can't be compared with those of MNIST.",
            stacklevel=2,
        )
        return "rendered"
    return "mnist"


def load_splits(name: str, root: str | Path) -> dict[Split, Digits]:
    """Read a dataset; download it first if it is not below `root`.

    Args:
        name: `cifar10`, `cifar100`, or any `DatasetName` but `auto`; see `resolve_dataset`.
        root: Folder of the torchvision datasets.

    Returns:
        `train`, `val` (the last 5,000 of the train images) and `test`.

    Raises:
        MissingDataError: The dataset is not on disk and can't be downloaded.
        InputError: A file is truncated or corrupt, or there are too few images.
    """
    if name == "rendered":
        train, test = Digits(*render_digits(60_000, seed=0)), Digits(*render_digits(10_000, seed=1))
    elif name in CIFAR:
        train, test = (Digits(*split) for split in load_cifar(name, root))
    else:
        train, test = _read(name, root) or _download(name, root)
    if len(train.labels) <= VALIDATION_SIZE:
        raise InputError(
            f"`--data.root` (={root}): the train split of {name} has {len(train.labels)} images; "
            f"it must have more than {VALIDATION_SIZE}, which go into validation."
        )
    return {
        "train": Digits(train.images[:-VALIDATION_SIZE], train.labels[:-VALIDATION_SIZE]),
        # copies, because a view sent to another process would take the whole tensor along
        "val": Digits(train.images[-VALIDATION_SIZE:].clone(), train.labels[-VALIDATION_SIZE:].clone()),
        "test": test,
    }


class Family(NamedTuple):
    """A dataset of idx files.

    Attributes:
        dataset: torchvision's class, which downloads and reads it.
        arguments: Arguments of the class.
        files: Names of its files, images and labels of the two splits.
    """

    dataset: type[datasets.MNIST]
    arguments: dict[str, Any]
    files: tuple[str, ...]

    def folder(self, root: Path) -> Path:
        """Return the folder of its files, torchvision's."""
        return root / self.dataset.__name__ / "raw"

    def missing(self, root: Path) -> list[Path]:
        """Return the files that are not there."""
        return [file for name in self.files if not (file := self.folder(root) / name).exists()]


def _names(train: str, test: str, labels: str = "labels-idx1-ubyte") -> tuple[str, ...]:
    return tuple(f"{split}-{content}" for split in (train, test) for content in ("images-idx3-ubyte", labels))


_FAMILY = {
    "mnist": Family(datasets.MNIST, {}, _names("train", "t10k")),
    "fashion_mnist": Family(datasets.FashionMNIST, {}, _names("train", "t10k")),
    "kmnist": Family(datasets.KMNIST, {}, _names("train", "t10k")),
    "qmnist": Family(datasets.QMNIST, {}, _names("qmnist-train", "qmnist-test", "labels-idx2-int")),
    "emnist_digits": Family(datasets.EMNIST, {"split": "digits"}, _names("emnist-digits-train", "emnist-digits-test")),
}


def _read(name: str, root: str | Path) -> tuple[Digits, Digits] | None:
    """Read the train and test split; None if one of their files is missing."""
    family, root = _FAMILY[name], Path(expand_home(root))
    folder = family.folder(root)
    for packed in folder.glob("*-idx[0-9]-*.gz"):
        if not packed.with_suffix("").exists():
            unpack(packed)
    for file in _idx_files(folder):
        check_idx(file)
    if family.missing(root):
        return None
    try:
        train, test = (family.dataset(root, train=train, **family.arguments) for train in (True, False))
    except (TypeError, ValueError) as error:  # a valid idx file of another type or shape
        raise InputError(f"{folder} is corrupt: {error}") from error
    return _digits(name, train), _digits(name, test)


def _digits(name: str, dataset: datasets.MNIST) -> Digits:
    images, labels = dataset.data, dataset.targets
    if name == "qmnist":
        labels = labels[:, 0]  # the other columns hold the writer and the position in NIST
    if name == "emnist_digits":
        images = images.transpose(1, 2).contiguous()  # its files store images column by column
    folder = dataset.raw_folder
    if images.shape[1:] != (28, 28) or len(images) != len(labels):
        raise InputError(
            f"{folder} is corrupt: images of shape {tuple(images.shape)} and {len(labels)} labels, "
            "where as many 28×28 images as labels are needed."
        )
    if labels.min() < 0 or labels.max() > 9:
        raise InputError(
            f"{folder} is corrupt: labels from {labels.min()} to {labels.max()}, where 0 to 9 are allowed."
        )
    return Digits(images, labels.long())


def _download(name: str, root: str | Path) -> tuple[Digits, Digits]:
    """Download a dataset with torchvision, which checks MD5 sums, and read it.

    The files go into a temporary folder first and are moved to `root` once all are complete, so an
    interrupted download leaves no incomplete files.
    """
    family, root = _FAMILY[name], Path(expand_home(root))
    with downloading(name, root, family.missing(root)) as fresh:
        for train in (True, False):
            family.dataset(fresh, train=train, download=True, **family.arguments)
        move_to_place(_idx_files(family.folder(fresh)), fresh, root)
    splits = _read(name, root)
    assert splits is not None, "every file has just been moved into place"
    return splits


def _idx_files(folder: Path) -> list[Path]:
    found = (file for file in folder.glob("*-idx[0-9]-*") if file.suffix != ".gz")
    return sorted(file for file in found if not file.name.startswith("."))  # being unpacked, see `unpack`


def unpack(packed: Path) -> None:
    """Unpack `NAME.gz` to `NAME` beside it, as torchvision does after a download; leave nothing if that fails.

    Raises:
        InputError: The file is damaged, too large or no idx file, or the folder can't be written to.
    """
    fresh = packed.with_name(f".{packed.stem}.{os.getpid()}")
    try:
        with gzip.open(packed) as source, fresh.open("wb") as target:
            for part in iter(lambda: source.read(2**20), b""):
                if target.tell() > LARGEST_FILE:
                    raise InputError("it holds more than the largest of its kind does")
                target.write(part)
        check_idx(fresh)
        move(fresh, packed.with_suffix(""))
    except (OSError, EOFError, zlib.error, InputError) as error:
        raise InputError(f"{packed} can't be unpacked ({error})") from error
    finally:
        fresh.unlink(missing_ok=True)


def check_idx(file: Path) -> None:
    """Check an idx file's header against its name and its length, without reading the data.

    An idx file starts with two zero bytes, a type code, the number of axes, and the size of each axis as a
    big-endian 32-bit number (LeCun, 1998).

    Raises:
        InputError: The file is truncated, too long, too large or no idx file, or its header contradicts its name.
    """
    if not file.is_file():
        raise InputError(f"{file} is no file")
    with file.open("rb") as stream:
        magic = stream.read(4)
        if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _IDX_BYTES or not 1 <= magic[3] <= 3:
            raise InputError(f"{file} is corrupt: it starts with {magic.hex() or 'nothing'}, not as an idx file does.")
        axes = stream.read(4 * magic[3])
    sizes = [int.from_bytes(axes[k : k + 4], "big") for k in range(0, len(axes), 4)]
    if f"-idx{magic[3]}-" not in file.name or sizes[1:] not in ([], [8], [28, 28]):  # labels, QMNIST's labels, images
        raise InputError(f"{file} is corrupt: its header says {sizes}, which is not what its name says.")
    expected = 4 + 4 * magic[3] + prod(sizes) * _IDX_BYTES[magic[2]]
    if expected > LARGEST_FILE:
        raise InputError(f"{file} is corrupt: {expected:,} bytes by its header, more than the largest of its kind has.")
    if file.stat().st_size != expected:
        raise InputError(
            f"{file} is truncated or corrupt: {file.stat().st_size} bytes, where its header says {expected}. "
            "Delete it, and it will be downloaded again."
        )


LARGEST_FILE = 10**9  # bytes, five times EMNIST's, the largest
_IDX_BYTES = {0x08: 1, 0x09: 1, 0x0B: 2, 0x0C: 4, 0x0D: 4, 0x0E: 8}  # bytes per number, by type code
