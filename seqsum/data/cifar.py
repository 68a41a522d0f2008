"""Reads CIFAR-10 and CIFAR-100 (Krizhevsky, 2009) in their publisher's format, in torchvision's folders."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchvision import datasets
from torchvision.datasets.utils import check_integrity

from seqsum.data.downloads import downloading, move_to_place
from seqsum.errors import InputError
from seqsum.paths import expand_home

SIZE = 32  # pixel rows and columns
LARGEST_FILE = 10**9  # bytes, more than five times the largest


class Kind(NamedTuple):
    """One of the two datasets.

    Attributes:
        dataset: torchvision's class, which knows folder and files, and downloads.
        classes: Number of classes.
        labels: Key of the labels in a file.
    """

    dataset: type[datasets.CIFAR10]
    classes: int
    labels: str


CIFAR = {
    "cifar10": Kind(datasets.CIFAR10, 10, "labels"),
    "cifar100": Kind(datasets.CIFAR100, 100, "fine_labels"),
}


def load_cifar(name: str, root: str | Path) -> list[tuple[Tensor, Tensor]]:
    """Read the train and the test split; download them first if they are not below `root`.

    Args:
        name: `cifar10` or `cifar100`.
        root: Folder of the torchvision datasets.

    Returns:
        For each split uint8 images `(N, 3, 32, 32)` and int64 labels `(N,)`.

    Raises:
        MissingDataError: The dataset is not on disk and can't be downloaded.
        InputError: A file is damaged, or not the publisher's.
    """
    root, kind = Path(expand_home(root)), CIFAR[name]
    files = _files(root, kind, "train") + _files(root, kind, "test")
    if missing := [file for file in files if not file.exists()]:
        _download(name, root, missing)
    return [_read(root, kind, split) for split in ("train", "test")]


def class_names(name: str, root: str | Path) -> list[str]:
    """Read the names of the classes; numbers if the file that has them is missing or damaged."""
    kind = CIFAR[name]
    path = Path(expand_home(root)) / kind.dataset.base_folder / kind.dataset.meta["filename"]
    try:
        names = _unpickle(path).get(kind.dataset.meta["key"])
    except InputError:
        names = None
    if isinstance(names, list) and len(names) == kind.classes:
        return [str(each) for each in names]
    return [str(place) for place in range(kind.classes)]


def _files(root: Path, kind: Kind, split: str) -> list[Path]:
    listed = kind.dataset.train_list if split == "train" else kind.dataset.test_list
    return [root / kind.dataset.base_folder / file for file, _ in listed]


def _read(root: Path, kind: Kind, split: str) -> tuple[Tensor, Tensor]:
    images, labels = zip(*(_read_file(file, kind) for file in _files(root, kind, split)), strict=True)
    return torch.cat(images), torch.cat(labels)


def _read_file(file: Path, kind: Kind) -> tuple[Tensor, Tensor]:
    """Read a file's images `(N, 3, 32, 32)` and labels `(N,)`: each row has all red pixels, then green, then blue."""
    content = _unpickle(file)
    pixels, labels = content.get("data"), content.get(kind.labels)
    numbers = 3 * SIZE**2
    if not (isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8 and pixels.shape[1:] == (numbers,)):
        raise InputError(f"{file} is corrupt: `data` must be uint8 numbers, {numbers} for each image")
    if len(pixels) == 0:
        raise InputError(f"{file} is corrupt: it contains no image")
    if not isinstance(labels, list | np.ndarray) or len(labels) != len(pixels):
        raise InputError(f"{file} is corrupt: `{kind.labels}` must be a list with a label for each image")
    numbered = np.asarray(labels)
    if (
        numbered.dtype.kind not in "iu"
        or numbered.ndim != 1
        or not 0 <= numbered.min() <= numbered.max() < kind.classes
    ):
        raise InputError(f"{file} is corrupt: `{kind.labels}` must be numbers from 0 to {kind.classes - 1}")
    images = torch.from_numpy(pixels.copy()).view(-1, 3, SIZE, SIZE)
    return images, torch.from_numpy(numbered.astype(np.int64))


class _DataOnly(pickle.Unpickler):
    """Unpickles arrays, lists and texts only: a pickle can otherwise run any code."""

    allowed = frozenset(
        {("numpy", "dtype"), ("numpy", "ndarray"), ("_codecs", "encode")}
        | {(f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")}
        | {(f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")}
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module.replace("numpy.core", "numpy._core") if _HAS_CORE else module, name)


_HAS_CORE = hasattr(np, "_core")  # NumPy 2 warns of the old name


def _unpickle(file: Path) -> dict[str, Any]:
    """Read a file's dict, with keys as text.

    Raises:
        InputError: The file is missing, too large, damaged, or contains something else.
    """
    try:
        if file.stat().st_size > LARGEST_FILE:
            raise InputError(f"{file} is corrupt: it is larger than any file of its kind")
        with file.open("rb") as stream:
            content = _DataOnly(stream, encoding="latin1").load()  # as Python 2 wrote it
    except InputError:
        raise
    except Exception as error:  # a damaged file can make the unpickler fail anywhere
        raise InputError(f"{file} can't be read as a file of CIFAR ({error})") from error
    if not isinstance(content, dict):
        raise InputError(f"{file} is corrupt: it contains no dict")
    return {key.decode("latin1") if isinstance(key, bytes) else str(key): value for key, value in content.items()}


def _link(place: Path, archive: Path) -> None:
    """Let an archive stand at another place, too."""
    try:
        place.symlink_to(archive.resolve())
    except OSError:  # Windows allows it to administrators
        shutil.copyfile(archive, place)


def _download(name: str, root: Path, missing: Sequence[Path]) -> None:
    """Download a dataset with torchvision, which checks MD5 sums, and move its files into place once complete.

    An archive that a user downloaded to `root` is unpacked instead.
    """
    kind = CIFAR[name].dataset
    archive = root / kind.filename
    if archive.is_file() and not check_integrity(str(archive), kind.tgz_md5):  # torchvision would write over it
        raise InputError(
            f"{archive} is corrupt or not the publisher's: its MD5 sum is not {kind.tgz_md5}. "
            "Delete it, and it will be downloaded again."
        )
    with downloading(name, root, missing) as fresh:
        if archive.is_file():
            _link(fresh / kind.filename, archive)
        kind(fresh, download=True)
        move_to_place((file for file in sorted((fresh / kind.base_folder).iterdir()) if file.is_file()), fresh, root)
