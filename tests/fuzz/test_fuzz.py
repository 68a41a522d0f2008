"""Bad input in bulk, seeded: a message that names the culprit or a right result, and nothing half left behind.

`SEQSUM_FUZZ=2000 pytest tests/fuzz` tries as many of each kind.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqsum.data import digits
from seqsum.data.images import read_images
from seqsum.data.images.frames import UnreadableError, read_frames
from seqsum.data.index_tables import IndexBatches
from seqsum.errors import InputError
from seqsum.inspect.restore import load
from tests.conftest import write_mnist
from tests.fuzz import files, options

REPOSITORY = Path(__file__).parents[2]
CHECKPOINT = REPOSITORY / "tests/fixtures/last_of_0.1.0.ckpt"
SEED = 20
pytestmark = pytest.mark.filterwarnings("ignore")  # of PIL about large images, of Lightning about odd settings


def cases(least: int) -> int:
    """How many to try."""
    return int(os.environ.get("SEQSUM_FUZZ", least))


@pytest.fixture
def small(tmp_path_factory, monkeypatch):
    """A folder to run in, outside it a small dataset and a file for settings."""
    base = tmp_path_factory.mktemp("fuzz")
    (base / "here").mkdir()
    monkeypatch.chdir(base / "here")
    monkeypatch.setattr(digits, "VALIDATION_SIZE", 20)
    write_mnist(base / "data", train=60, test=20)
    return base


def test_idx_files(tmp_path, monkeypatch):
    monkeypatch.setattr(digits, "VALIDATION_SIZE", 20)
    source, refused = random.Random(SEED), 0
    raw = write_mnist(tmp_path, train=53, test=31) / "MNIST/raw"
    for number in range(cases(75)):
        name, count = source.choice([("train-images-idx3-ubyte", 53), ("t10k-labels-idx1-ubyte", 31)])
        good = (raw / name).read_bytes()
        wrong = files.damage(good, source) if source.random() < 0.4 else files.idx(source, count, "images" in name)
        (raw / name).write_bytes(wrong)
        try:
            found = digits.load_splits("mnist", tmp_path)
            assert found["train"].images.shape == (33, 28, 28) or len(wrong) != len(good), number
            for split in found.values():
                assert split.images.shape == (len(split.labels), 28, 28)
                assert 0 <= split.labels.min() <= split.labels.max() <= 9
        except InputError as error:
            message = str(error)
            assert str(raw) in message, number
            refused += 1
        (raw / name).write_bytes(good)
    assert refused > cases(75) / 3


@given(
    data=st.binary(max_size=40)
    | st.builds(
        lambda sizes, payload: bytes([0, 0, 8, len(sizes)]) + b"".join(n.to_bytes(4, "big") for n in sizes) + payload,
        st.lists(st.integers(0, 2**32 - 1) | st.just(28), max_size=4),
        st.binary(max_size=40),
    )
)
@settings(max_examples=cases(100), derandomize=True)
def test_idx_headers_are_checked_against_the_length_before_anything_is_read(tmp_path_factory, data):
    file = tmp_path_factory.getbasetemp() / "x-idx1-ubyte"
    file.write_bytes(data)
    sound = len(data) >= 8 and data[:4] == b"\0\0\x08\x01" and len(data) == 8 + int.from_bytes(data[4:8], "big")
    if sound:
        digits.check_idx(file)
    else:
        with pytest.raises(InputError, match="x-idx1-ubyte"):
            digits.check_idx(file)


def test_an_idx_file_of_a_terabyte_is_refused_before_it_is_read(tmp_path, monkeypatch):
    """Its length is what its header says; it would fill the memory of any machine."""
    monkeypatch.setattr(digits, "VALIDATION_SIZE", 20)
    file = write_mnist(tmp_path, train=30, test=10) / "MNIST/raw/train-images-idx3-ubyte"
    count = 2**31
    file.write_bytes(b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (count, 28, 28)))
    os.truncate(file, 16 + count * 28 * 28)  # holes take no place on the disk
    with pytest.raises(InputError, match="train-images-idx3-ubyte is corrupt: 1,683,627,180,048 bytes"):
        digits.load_splits("mnist", tmp_path)


def test_a_folder_in_the_place_of_an_idx_file_is_named(tmp_path):
    file = write_mnist(tmp_path, train=30, test=10) / "MNIST/raw/train-images-idx3-ubyte"
    file.unlink()
    file.mkdir()
    with pytest.raises(InputError, match="train-images-idx3-ubyte is no file"):
        digits.load_splits("mnist", tmp_path)


def test_images(tmp_path):
    source, refused = random.Random(SEED), 0
    for number in range(cases(100)):
        suffix, content = files.image(source)
        path = tmp_path / f"digit.{suffix}"
        path.write_bytes(files.damage(content, source) if source.random() < 0.6 else content)
        try:
            found = torch.cat([digits for digits, _ in read_images([str(path)]).sequences])
            assert found.dtype == torch.uint8, number
            assert found.shape[1:] == (28, 28), number
            assert (found.flatten(1).max(dim=1).values > 0).all(), number
        except InputError as error:
            message = str(error)
            assert f"`--data.images`: {path} " in message, number
            refused += 1
    assert 0 < refused < cases(100)


def frames_of(path: Path) -> tuple[list[np.ndarray], str]:
    """The frames that are read, and why no more of them are."""
    found = []
    try:
        for frame in read_frames(path):
            found.append(frame.grey)
            assert frame.number == len(found)
    except UnreadableError as error:
        return found, str(error)
    return found, ""


@pytest.mark.parametrize("suffix", files.FORMATS)
def test_frames_before_the_damage_are_read_and_nothing_but_its_reason_comes_out(tmp_path, suffix):
    source, path = random.Random(SEED), tmp_path / f"digit.{suffix}"
    refused, most = 0, 0
    for number in range(cases(40)):
        content = files.frames(suffix, source)
        path.write_bytes(content)
        whole, _ = frames_of(path)
        path.write_bytes(content[: source.randrange(len(content))])
        found, reason = frames_of(path)
        assert len(found) < len(whole) or not reason, number
        assert all(map(np.array_equal, found, whole)), number
        most = max(most, len(found))
        path.write_bytes(files.damage(content, source))
        found, reason = frames_of(path)
        assert found or reason, number
        assert not reason or reason.startswith("can't be read as an image"), number
        assert (" from frame " in reason) == bool(found and reason), number
        refused += bool(reason)
    assert refused > cases(40) / 4
    assert most >= {"gif": 2, "tif": 2, "png": 2}.get(suffix, 0)


def test_checkpoints(small):
    """Damaged, of another kind, or with something else in one place; a flipped bit of a weight is damage too."""
    good, content = torch.load(CHECKPOINT, weights_only=True), CHECKPOINT.read_bytes()
    weights = load(str(CHECKPOINT)).module.state_dict()
    source, refused, path, ran = random.Random(SEED), 0, small / "x.ckpt", small / "ran"
    for number in range(cases(75)):
        damaged = source.random() < 0.5
        wrong = files.damage(content, source) if damaged else files.other_checkpoint(good, source, ran)
        path.write_bytes(wrong)
        try:
            found = load(str(path)).module.state_dict()
            same = all(torch.equal(found[name], weights[name]) for name in weights)
            assert same or not damaged, number
            assert all(weight.isfinite().all() for weight in found.values()), number
        except InputError as error:
            message = str(error)
            assert f"`path` (={path})" in message, number
            refused += 1
        assert not ran.exists(), number
        assert not Path("ran").exists(), number
    assert refused > cases(75) / 4


def test_a_flipped_bit_of_a_weight_is_noticed(small):
    content = bytearray(CHECKPOINT.read_bytes())
    weight = torch.load(CHECKPOINT, weights_only=True)["state_dict"]["network.recurrence.cells.0.weight_hh"]
    place = bytes(content).index(weight.numpy().tobytes())
    content[place + 5] ^= 1
    (small / "x.ckpt").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.ckpt\) is .* a damaged one \(the checksum of .* is wrong"):
        load(str(small / "x.ckpt"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["command lines", "YAML files"])
def test_settings(small, capfd, kind):
    source, file = random.Random(SEED), small / "fuzzed.yaml"
    places = {
        "ROOT": str(small / "data"),
        "CHECKPOINT": str(CHECKPOINT),
        "CONFIG": str(REPOSITORY / "configs/sum.yaml"),
    }
    valid = (REPOSITORY / "configs/sum.yaml").read_text()
    complaints = []
    for number in range(cases(30)):
        if kind == "YAML files":
            file.write_text(options.yaml_text(source, valid))
            arguments, words = ["fit", "-c", str(file), *options.ALWAYS, *options.SMALL], ["fuzzed.yaml"]
            arguments.append(f"--data.root={places['ROOT']}")
        else:
            arguments, words = options.command_line(source, places)
        before = options.everything(small)
        status, error = options.run(arguments)
        complaint = options.complaint(arguments, words, status, error, capfd.readouterr().err)
        if complaint or options.everything(small) != before:
            complaints.append((number, arguments, complaint or "files are left"))
    assert complaints == []


@given(
    count=st.integers(1, 400),
    lengths=st.tuples(st.integers(1, 12), st.integers(0, 6)),
    batch_size=st.integers(1, 40),
    world_size=st.integers(1, 9),
    epoch=st.integers(0, 3),
)
@settings(max_examples=cases(100), derandomize=True)
def test_any_number_of_processes_shares_any_split_exactly(count, lengths, batch_size, world_size, epoch):
    shortest, longest = lengths[0], sum(lengths)
    shares = []
    for rank in range(world_size):
        sampler = IndexBatches("train", count, (shortest, longest), batch_size, 5, rank, world_size)
        if len(sampler) == 0:  # not one sequence
            assert count < longest
            return
        sampler.set_epoch(epoch)
        shares.append(list(sampler))
    assert len({len(share) for share in shares}) == 1
    for batches in zip(*shares, strict=True):
        assert len({batch.seed for batch in batches}) == len({batch.rows.shape for batch in batches}) == 1
    used = [number for share in shares for batch in share for number in batch.rows[batch.share].flatten().tolist()]
    assert len(set(used)) == len(used)
    assert set(used) <= set(range(count))
    assert count - len(used) < longest


def test_a_download_whose_md5_is_wrong_leaves_nothing_and_is_said(tmp_path, monkeypatch):
    """The transport alone is a stand-in: torchvision looks at what came."""
    asked = []

    def deliver(url, filename, chunk_size=0):
        asked.append(url)
        Path(filename).write_bytes(b"not what was asked for")

    monkeypatch.setattr("torchvision.datasets.utils._get_redirect_url", lambda url, max_hops=3: url)
    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", deliver)
    with pytest.raises(digits.MissingDataError, match=r"`--data.root` \(=.*\) does not hold mnist .*corrupted"):
        digits.load_splits("mnist", tmp_path / "new")
    assert len(asked) >= 1
    assert list(tmp_path.iterdir()) == []
