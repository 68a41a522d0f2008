from __future__ import annotations

import gzip
import http.client
import re
import shutil
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from torch import Tensor

from seqsum.data import digits
from seqsum.data.digits import MissingDataError, check_idx, load_splits, resolve_dataset
from seqsum.data.rendered import render_digits
from seqsum.errors import InputError
from tests.conftest import write_idx

FOLDERS = {
    "mnist": "MNIST",
    "fashion_mnist": "FashionMNIST",
    "kmnist": "KMNIST",
    "qmnist": "QMNIST",
    "emnist_digits": "EMNIST",
}
MNIST_FILES = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
]
TRAIN, TEST = 53, 31  # images in the small datasets below, of which VALIDATION go into validation
VALIDATION = 20


@pytest.fixture(autouse=True)
def small_and_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a small validation split, and refuse all network access."""

    def refuse(request, *_, **__):
        raise URLError("no network here")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr(digits, "VALIDATION_SIZE", VALIDATION)


def says(*parts: object) -> str:
    """Return a pattern for a message with these parts, in this order."""
    return ".*".join(re.escape(str(part)) for part in parts)


def random_split(count: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (count, 28, 28), dtype=torch.uint8, generator=generator)
    return images, torch.randint(10, (count,), dtype=torch.uint8, generator=generator)


def write_int_idx(path: Path, array: Tensor) -> None:
    header = struct.pack(f">BBBB{array.dim()}I", 0, 0, 0x0C, array.dim(), *array.shape)
    path.write_bytes(header + array.numpy().astype(">i4").tobytes())


def write_family(root: Path, name: str) -> Path:
    """Write a small dataset of random images in its publisher's file format; return the folder."""
    folder = root / FOLDERS[name] / "raw"
    for split, count, seed in (("train", TRAIN, 0), ("test", TEST, 1)):
        images, labels = random_split(count, seed)
        if name == "qmnist":
            columns = torch.arange(8) * 1_000 + labels[:, None].int()  # class, then writer and so on
            write_idx(folder / f"qmnist-{split}-images-idx3-ubyte", images)
            write_int_idx(folder / f"qmnist-{split}-labels-idx2-int", columns)
        elif name == "emnist_digits":
            write_idx(folder / f"emnist-digits-{split}-images-idx3-ubyte", images.transpose(1, 2).contiguous())
            write_idx(folder / f"emnist-digits-{split}-labels-idx1-ubyte", labels)
        else:
            prefix = "train" if split == "train" else "t10k"
            write_idx(folder / f"{prefix}-images-idx3-ubyte", images)
            write_idx(folder / f"{prefix}-labels-idx1-ubyte", labels)
    return folder


def assert_is_the_family_written(splits: dict[str, digits.Digits]) -> None:
    (train_images, train_labels), (test_images, test_labels) = random_split(TRAIN, 0), random_split(TEST, 1)
    assert torch.equal(torch.cat([splits["train"].images, splits["val"].images]), train_images)
    assert torch.equal(torch.cat([splits["train"].labels, splits["val"].labels]), train_labels.long())
    assert [len(splits[split].labels) for split in ("train", "val")] == [TRAIN - VALIDATION, VALIDATION]
    assert torch.equal(splits["test"].images, test_images)
    assert torch.equal(splits["test"].labels, test_labels.long())


# Files on disk -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FOLDERS)
def test_each_family_loads_what_its_files_hold(tmp_path, name):
    write_family(tmp_path, name)
    splits = load_splits(name, tmp_path)
    assert_is_the_family_written(splits)
    assert {split.images.dtype for split in splits.values()} == {torch.uint8}
    assert {split.labels.dtype for split in splits.values()} == {torch.int64}


def test_a_root_given_as_text_loads_the_same(tmp_path):
    write_family(tmp_path, "mnist")
    assert_is_the_family_written(load_splits("mnist", str(tmp_path)))


def test_files_still_packed_beside_their_contents_do_no_harm(tmp_path):
    folder = write_family(tmp_path, "mnist")
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"anything"))
    assert_is_the_family_written(load_splits("mnist", tmp_path))


def pack(folder: Path) -> list[Path]:
    """Compress each file to a `.gz` of its own, as its publisher does."""
    for file in list(folder.iterdir()):
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    return sorted(folder.iterdir())


@pytest.mark.parametrize("name", FOLDERS)
def test_files_that_are_still_packed_are_unpacked_without_a_network(tmp_path, name):
    packed = pack(write_family(tmp_path, name))
    assert_is_the_family_written(load_splits(name, tmp_path))
    assert sorted(packed[0].parent.iterdir()) == sorted([*packed, *(file.with_suffix("") for file in packed)])


def test_what_another_process_is_unpacking_is_not_read(tmp_path):
    folder = write_family(tmp_path, "mnist")
    (folder / ".train-images-idx3-ubyte.12345").write_bytes(b"the first part")
    assert_is_the_family_written(load_splits("mnist", tmp_path))


def test_one_file_that_is_still_packed_is_unpacked(tmp_path):
    folder = write_family(tmp_path, "mnist")
    labels = folder / "t10k-labels-idx1-ubyte"
    (folder / f"{labels.name}.gz").write_bytes(gzip.compress(labels.read_bytes()))
    labels.unlink()
    assert_is_the_family_written(load_splits("mnist", tmp_path))


@pytest.mark.parametrize("damage", ["truncated", "another byte", "no gzip", "no idx", "empty", "folder", "too large"])
def test_a_damaged_packed_file_is_named_and_leaves_nothing(tmp_path, monkeypatch, damage):
    packed = pack(write_family(tmp_path, "mnist"))
    before = packed[-1].read_bytes()
    packed[-1].unlink()
    middle = len(before) // 2
    if damage == "folder":
        packed[-1].mkdir()
    elif damage == "too large":
        packed[-1].write_bytes(gzip.compress(bytes(3 * 2**20)))
        monkeypatch.setattr(digits, "LARGEST_FILE", 2**20)
    else:
        damaged = {
            "truncated": before[:-9],
            "another byte": before[:middle] + bytes([before[middle] ^ 255]) + before[middle + 1 :],
            "no gzip": b"this is no gzip",
            "no idx": gzip.compress(b"this is no idx file"),
            "empty": b"",
        }
        packed[-1].write_bytes(damaged[damage])
    reason = ["holds more than the largest"] if damage == "too large" else []  # noticed before all of it is written
    with pytest.raises(InputError, match=says(packed[-1].name, "can't be unpacked", *reason)):
        load_splits("mnist", tmp_path)
    assert not any(file.name.startswith(".") for file in packed[0].parent.iterdir())
    assert not packed[-1].with_suffix("").exists()


def test_validation_is_the_last_5000_images_of_the_file(mnist_root, monkeypatch):
    monkeypatch.setattr(digits, "VALIDATION_SIZE", 5_000)
    splits = load_splits("mnist", mnist_root)
    assert [len(splits[split].images) for split in ("train", "val", "test")] == [600, 5_000, 200]
    written = (mnist_root / "MNIST" / "raw" / "train-images-idx3-ubyte").read_bytes()
    assert splits["val"].images.numpy().tobytes() == written[-5_000 * 28 * 28 :]


def test_real_mnist_has_its_sizes_and_first_labels(real_root, monkeypatch):
    monkeypatch.setattr(digits, "VALIDATION_SIZE", 5_000)
    splits = load_splits(resolve_dataset("auto", real_root), real_root)
    assert [len(splits[split].images) for split in ("train", "val", "test")] == [55_000, 5_000, 10_000]
    assert splits["train"].labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert splits["test"].labels[:5].tolist() == [7, 2, 1, 0, 4]
    pixels = splits["train"].images[:20_000] / 255
    assert (float(pixels.mean()), float(pixels.std())) == pytest.approx((0.1307, 0.3081), abs=0.002)  # as scaled by


def test_a_train_split_that_fills_validation_alone_is_refused(tmp_path, monkeypatch):
    write_family(tmp_path, "kmnist")
    monkeypatch.setattr(digits, "VALIDATION_SIZE", TRAIN)
    with pytest.raises(InputError, match=says(f"`--data.root` (={tmp_path})", "kmnist", TRAIN, "more than", TRAIN)):
        load_splits("kmnist", tmp_path)


def test_rendered_has_the_sizes_of_mnist_and_needs_no_root(tmp_path, monkeypatch):
    counts, seeds = [], []

    def fewer(count: int, seed: int) -> tuple[Tensor, Tensor]:
        counts.append(count)
        seeds.append(seed)
        return render_digits(count // 1_000, seed)

    monkeypatch.setattr(digits, "render_digits", fewer)
    splits = load_splits("rendered", tmp_path / "none")
    assert counts == [60_000, 10_000]
    assert seeds[0] != seeds[1]  # or the test digits would be those of training
    assert [len(splits[split].labels) for split in ("train", "val", "test")] == [60 - VALIDATION, VALIDATION, 10]
    assert not (tmp_path / "none").exists()


# Corrupt files -------------------------------------------------------------------------------------

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda data: data[:-1],
    "half": lambda data: data[: len(data) // 2],
    "header cut": lambda data: data[:6],
    "header alone": lambda data: data[:8],
    "empty": lambda data: b"",
    "too long": lambda data: data + b"\7",
    "still packed": gzip.compress,
    "a web page": lambda data: b"<!DOCTYPE html><title>Log in</title>",
    "unknown type": lambda data: data[:2] + b"\x0a" + data[3:],
    "no axes": lambda data: data[:3] + b"\0" + data[4:],
}


@pytest.mark.parametrize("file", [MNIST_FILES[0], MNIST_FILES[3]])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named(tmp_path, damage, file):
    path = write_family(tmp_path, "mnist") / file
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.raises(InputError, match=says(path)) as caught:
        load_splits("mnist", tmp_path)
    assert not isinstance(caught.value, MissingDataError)
    with pytest.raises(InputError, match=says(path)):
        check_idx(path)


def test_a_truncated_file_is_reported_with_both_sizes(tmp_path):
    path = write_family(tmp_path, "mnist") / MNIST_FILES[0]
    path.write_bytes(path.read_bytes()[:-5])
    expected = 16 + TRAIN * 28 * 28
    with pytest.raises(InputError, match=says(path, f"{expected - 5} bytes", expected)):
        load_splits("mnist", tmp_path)


@pytest.mark.parametrize("damage", ["truncated", "empty", "a web page"])
def test_auto_does_not_fall_back_from_a_damaged_file(tmp_path, damage):
    path = write_family(tmp_path, "mnist") / MNIST_FILES[2]
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.raises(InputError, match=says(path)):
        resolve_dataset("auto", tmp_path)


IMAGES, LABELS = random_split(TRAIN, 0)
MISFITS = {  # valid idx files that contradict their names
    "one label too few": ("train-labels-idx1-ubyte", LABELS[:-1]),
    "one label too many": ("train-labels-idx1-ubyte", torch.cat([LABELS, LABELS[:1]])),
    "label 12": ("train-labels-idx1-ubyte", LABELS.index_fill(0, torch.tensor([7]), 12)),
    "27 columns": ("train-images-idx3-ubyte", IMAGES[:, :, :27].contiguous()),
    "labels for images": ("train-images-idx3-ubyte", LABELS),
    "images for labels": ("train-labels-idx1-ubyte", IMAGES),
    "no images": ("train-images-idx3-ubyte", IMAGES[:0]),
    "no labels": ("train-labels-idx1-ubyte", LABELS[:0]),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_files_that_do_not_fit_together_are_named(tmp_path, misfit):
    folder = write_family(tmp_path, "mnist")
    file, content = MISFITS[misfit]
    write_idx(folder / file, content)
    with pytest.raises(InputError, match=says(folder)):
        load_splits("mnist", tmp_path)


def test_labels_of_another_type_are_named(tmp_path):
    folder = write_family(tmp_path, "mnist")
    write_int_idx(folder / "train-labels-idx1-ubyte", LABELS)
    with pytest.raises(InputError, match=says(folder)):
        load_splits("mnist", tmp_path)


@pytest.mark.parametrize(
    ("misfit", "words"), [("label 12", "12.*0 to 9"), ("one label too few", f"{TRAIN - 1} labels")]
)
def test_a_misfit_is_reported_with_its_value(tmp_path, misfit, words):
    folder = write_family(tmp_path, "mnist")
    file, content = MISFITS[misfit]
    write_idx(folder / file, content)
    with pytest.raises(InputError, match=words):
        load_splits("mnist", tmp_path)


# Downloads -----------------------------------------------------------------------------------------


class BrokenResponse:
    """A server's response that breaks off half-way."""

    length = 1_000

    def __init__(self, url: str, error: Exception | None) -> None:
        self.url, self.error, self.started = url, error, False

    def __enter__(self) -> BrokenResponse:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, size: int) -> bytes:
        if self.started and self.error is not None:
            raise self.error
        half, self.started = b"" if self.started else b"half of the file", True
        return half


def everything_below(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


@pytest.mark.parametrize("name", FOLDERS)
def test_a_dataset_asked_for_by_name_never_falls_back(tmp_path, monkeypatch, name):
    with pytest.raises(MissingDataError, match=says(f"`--data.root` (={tmp_path})", name, "no network here")):
        load_splits(resolve_dataset(name, tmp_path), tmp_path)
    assert everything_below(tmp_path) == []


def test_a_root_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "data").write_text("")
    with pytest.raises(MissingDataError, match=says(f"`--data.root` (={tmp_path / 'data'}) is a file")):
        load_splits("mnist", tmp_path / "data")


@pytest.mark.parametrize("place", ["here", "new", "new/and/nested"])
def test_a_failed_download_leaves_no_folder(tmp_path, monkeypatch, place):
    (tmp_path / "here").mkdir()
    before = everything_below(tmp_path)
    with pytest.raises(MissingDataError, match=says(f"`--data.root` (={tmp_path / place})")):
        load_splits("mnist", tmp_path / place)
    assert everything_below(tmp_path) == before


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(None, id="the connection closes"),
        TimeoutError("timed out"),
        ConnectionResetError("reset by peer"),
        http.client.IncompleteRead(b"half"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_download_that_breaks_in_the_middle_leaves_nothing(tmp_path, monkeypatch, error):
    monkeypatch.setattr("urllib.request.urlopen", lambda request, *_, **__: BrokenResponse(request.full_url, error))
    with pytest.raises(MissingDataError, match=says(f"`--data.root` (={tmp_path / 'new'})", "mnist")):
        load_splits("mnist", tmp_path / "new")
    assert everything_below(tmp_path) == []


def test_a_failed_download_keeps_what_was_there(tmp_path, monkeypatch):
    folder = write_family(tmp_path, "mnist")
    (folder / MNIST_FILES[3]).unlink()
    before = everything_below(tmp_path)
    with pytest.raises(MissingDataError, match=says(f"`--data.root` (={tmp_path})")):
        load_splits("mnist", tmp_path)
    assert everything_below(tmp_path) == before


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("removed", [1, 3])
def test_missing_files_are_named(tmp_path, name, removed):
    files = sorted(write_family(tmp_path, name).iterdir())[:removed]
    for file in files:
        file.unlink()
    named = "|".join(re.escape(str(file.relative_to(tmp_path))) for file in files)
    others = "is" if removed == 1 else "and 2 more files are"
    with pytest.raises(MissingDataError, match=rf"\(({named}) {others} missing\), and downloading it failed"):
        load_splits(name, tmp_path)


def test_a_download_has_a_time_limit_that_ends_with_it(tmp_path, monkeypatch):
    limits = []

    def measure(request, *_, **__):
        limits.append(socket.getdefaulttimeout())
        raise URLError("no network here")

    monkeypatch.setattr("urllib.request.urlopen", measure)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(777)
    try:
        with pytest.raises(MissingDataError):
            load_splits("mnist", tmp_path)
        assert socket.getdefaulttimeout() == 777
    finally:
        socket.setdefaulttimeout(before)
    assert 0 < max(limits) <= 60


def serve(monkeypatch: pytest.MonkeyPatch, source: Path, fail_after: int = 100) -> list[str]:
    """Let torchvision's downloads copy from a folder; return a list that fills with the requested files."""
    asked: list[str] = []

    def deliver(url: str, download_root: str, filename: str | None = None, md5: str | None = None) -> None:
        asked.append(filename or url.rsplit("/", 1)[-1])
        if len(asked) > fail_after:
            raise URLError("the line went dead")
        (Path(download_root) / asked[-1]).write_bytes(b"the packed file, which stays beside its contents")
        if asked[-1] == "gzip.zip":  # EMNIST: one archive of packed files
            (Path(download_root) / "gzip").mkdir()
            for file in source.iterdir():
                packed = Path(download_root) / "gzip" / f"{file.name}.gz"
                packed.write_bytes(gzip.compress(file.read_bytes()))
        else:
            shutil.copy(source / asked[-1].removesuffix(".gz"), download_root)

    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", deliver)
    return asked


@pytest.mark.parametrize("name", FOLDERS)
def test_a_download_ends_in_its_place_and_is_the_only_one(tmp_path, monkeypatch, name):
    source = write_family(tmp_path / "server", name)
    asked = serve(monkeypatch, source)
    root = tmp_path / "new" / "root"
    assert_is_the_family_written(load_splits(name, root))
    files = [path.relative_to(root) for path in everything_below(root) if path.is_file()]
    assert files == sorted(Path(FOLDERS[name]) / "raw" / file.name for file in source.iterdir())
    assert [path.name for path in root.iterdir()] == [FOLDERS[name]]
    downloads = len(asked)
    assert_is_the_family_written(load_splits(name, root))
    assert len(asked) == downloads > 0


@pytest.mark.parametrize("name", ["mnist", "qmnist"])
@pytest.mark.parametrize("files", [1, 2, 3])
def test_a_download_that_ends_between_two_files_leaves_nothing(tmp_path, monkeypatch, name, files):
    serve(monkeypatch, write_family(tmp_path / "server", name), fail_after=files)
    with pytest.raises(
        MissingDataError, match=says(f"`--data.root` (={tmp_path / 'new'})", name, "the line went dead")
    ):
        load_splits(name, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_download_completes_what_is_there(tmp_path, monkeypatch):
    serve(monkeypatch, write_family(tmp_path / "server", "mnist"))
    folder = write_family(tmp_path / "root", "mnist")
    (folder / MNIST_FILES[1]).unlink()
    assert_is_the_family_written(load_splits("mnist", tmp_path / "root"))


# Choosing `auto` -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*FOLDERS, "rendered"])
def test_a_name_stands_for_itself(tmp_path, monkeypatch, name):
    assert resolve_dataset(name, tmp_path) == name


def test_auto_is_mnist_when_it_is_on_disk(tmp_path, monkeypatch):
    write_family(tmp_path, "mnist")
    assert resolve_dataset("auto", tmp_path) == "mnist"


def test_auto_is_mnist_when_it_can_be_downloaded(tmp_path, monkeypatch):
    serve(monkeypatch, write_family(tmp_path / "server", "mnist"))
    assert resolve_dataset("auto", tmp_path / "root") == "mnist"
    assert_is_the_family_written(load_splits("mnist", tmp_path / "root"))


def test_auto_is_rendered_with_a_loud_warning_when_the_download_fails(tmp_path, monkeypatch):
    root = tmp_path / "new"
    with pytest.warns(UserWarning, match=says("NOT MNIST", f"`--data.root` (={root})", "no network here")):
        assert resolve_dataset("auto", root) == "rendered"
    assert not root.exists()


# A home folder -------------------------------------------------------------------------------------


def test_a_tilde_is_the_home_folder_when_files_are_checked(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    path = write_family(tmp_path / "home" / "data", "mnist") / MNIST_FILES[0]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=says(path)):
        load_splits("mnist", "~/data")


def test_a_tilde_is_the_home_folder_when_files_are_downloaded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    serve(monkeypatch, write_family(tmp_path / "server", "mnist"))
    load_splits("mnist", "~/data")
    assert not (tmp_path / "~").exists()
    assert (tmp_path / "home" / "data" / "MNIST" / "raw" / MNIST_FILES[0]).is_file()
