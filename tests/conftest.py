"""Fixtures, such as a small MNIST on disk in MNIST's own file format, to test the same code paths as with real data."""

from __future__ import annotations

import copy
import ctypes
import gc
import importlib
import os
import struct
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

import hypothesis
import pytest

if TYPE_CHECKING:
    from torch import Tensor

# Tests run side by side, a process a core: with threads as well they would take turns on the cores.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Some tests have a home folder of their own, in which they would compile the kernels in C++ anew.
os.environ.setdefault("XDG_CACHE_HOME", str(Path.home() / ".cache"))


def count_gpus() -> int:
    """Ask the driver: importing torch takes seconds, in which the process that starts the others would hold them up."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int()
    failed = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    return 0 if failed else count.value


HAS_GPU = count_gpus() > 0

# Triton reads this when it is imported, itself and the kernels: without a GPU they run in its interpreter.
if not HAS_GPU:
    os.environ.setdefault("TRITON_INTERPRET", "1")

# What is imported and collected stays until the end: looking for garbage in it takes a fifth of the time.
gc.disable()

# Examples of a test may take any time: others may be busy on the cores.
hypothesis.settings.register_profile("seqsum", deadline=None)
hypothesis.settings.load_profile("seqsum")

MOST = 5  # cases of a test that all run by default
SAMPLE = 4  # cases that do of a test with more


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--part=1/4`, to run a fourth of the selected tests."""
    parser.addoption("--part", metavar="K/N", type=part, help="only part K of N of the selected tests, chosen by name")


def part(text: str) -> tuple[int, int]:
    """Read `K/N`."""
    k, n = map(int, text.split("/"))
    if not 1 <= k <= n:
        raise ValueError(text)
    return k, n


def pytest_collection_finish() -> None:
    """Look for garbage again, but not in what is there by now."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of a test with many cases, run a sample by default, spread evenly over them; all others are slow.

    A test that marks some of its cases slow itself, as `tests.covering` does, has chosen those that run by default.
    """
    by_test: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        by_test[item.nodeid.partition("[")[0]].append(item)
    if config.option.part:
        k, n = config.option.part
        items[:] = [item for name, cases in by_test.items() if zlib.crc32(name.encode()) % n == k - 1 for item in cases]
    for cases in by_test.values():
        if any(item.get_closest_marker(chosen) for item in cases for chosen in ("slow", "gpu")):
            continue
        kept = {len(cases) * place // SAMPLE for place in range(SAMPLE)}
        for place, item in enumerate(cases):
            if len(cases) > MOST and place not in kept:
                item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def signatures_read_once() -> Iterator[None]:
    """Let jsonargparse read the source of a class once in a process, not in each of a command's many parsers.

    What it finds depends on the class alone. Without this, the suite takes a tenth longer.
    """
    try:
        signatures = importlib.import_module("jsonargparse._signatures")
    except ModuleNotFoundError:  # on a machine that runs the tests of the kernels alone
        signatures = None
    if not hasattr(signatures, "get_signature_parameters"):  # nor in another version of it
        yield
        return
    read = cache(signatures.get_signature_parameters)

    def copied(kind: Callable[..., Any], method: str | None, logger: Any) -> list[Any]:
        return [copy.copy(parameter) for parameter in read(kind, method)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signatures, "get_signature_parameters", copied)
        yield


def write_idx(path: Path, array: Tensor) -> None:
    """Write a uint8 tensor as an idx file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">BBBB{array.dim()}I", 0, 0, 0x08, array.dim(), *array.shape)
    path.write_bytes(header + array.numpy().tobytes())


def write_mnist(root: Path, train: int, test: int, folder: str = "MNIST") -> Path:
    """Write rendered digits under MNIST's file names below `root`."""
    from seqsum.data.rendered import render_digits

    for prefix, count, seed in (("train", train, 0), ("t10k", test, 1)):
        images, labels = render_digits(count, seed)
        write_idx(root / folder / "raw" / f"{prefix}-images-idx3-ubyte", images)
        write_idx(root / folder / "raw" / f"{prefix}-labels-idx1-ubyte", labels.byte())
    return root


@pytest.fixture(
    params=[
        "cpu",
        pytest.param(
            "cuda",
            marks=[pytest.mark.gpu, pytest.mark.skipif(not HAS_GPU, reason="needs a GPU")],
        ),
    ]
)
def device(request: pytest.FixtureRequest) -> str:
    """Device of a test: the CPU, and also a GPU if there is one."""
    return request.param


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def mnist_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of a small MNIST: 600 train, 5,000 validation and 200 test digits, drawn from fonts. Read only."""
    return write_mnist(tmp_path_factory.mktemp("data"), train=5_600, test=200)


@pytest.fixture(scope="session")
def real_root() -> Path:
    """Root of the real MNIST, named by SEQSUM_DATA."""
    root = os.environ.get("SEQSUM_DATA")
    if not root:
        pytest.skip("SEQSUM_DATA does not name a folder that holds the real MNIST")
    if not (Path(root) / "MNIST" / "raw" / "train-images-idx3-ubyte").is_file():
        pytest.skip(f"SEQSUM_DATA (={root}) holds no MNIST")
    return Path(root).resolve()  # tests change into folders of their own


def fail_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every download of torchvision fail at once."""

    def refuse(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", refuse)


def shrink_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Render only a tenth of the digits, to save time."""
    from seqsum.data.rendered import render_digits

    monkeypatch.setattr("seqsum.data.digits.render_digits", lambda count, seed: render_digits(count // 10, seed))


@pytest.fixture(scope="session")
def own_digits() -> Path:
    """Folder of photographs, scans and drawings with the digits in their names, in SEQSUM_CASES or ../shared/cases."""
    folder = Path(os.environ.get("SEQSUM_CASES", Path(__file__).parents[2] / "shared/cases"), "own_digits")
    if not folder.is_dir():
        pytest.skip("SEQSUM_CASES does not name a folder with own_digits in it")
    return folder
