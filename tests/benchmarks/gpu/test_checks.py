"""The tests that the command runs, and what it says of them."""

import signal
import textwrap
import time

import pytest

from seqsum.benchmarks.gpu import checks
from seqsum.benchmarks.gpu.budget import Deadline
from seqsum.benchmarks.gpu.tables import tables
from tests.benchmarks.gpu.tiny import measure

REPOSITORY = {
    "pyproject.toml": """
        [tool.pytest.ini_options]
        markers = ["gpu: on a GPU", "slow: long"]
        """,
    "tests/recurrent/test_triton.py": """
        def test_right(): pass
        def test_wrong(): assert 1 == 2, "one is not two"
        def test_broken(no_such_fixture): pass
        """,
    "tests/conftest.py": """
        import pytest
        @pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
        def device(request): return request.param
        """,
    "tests/test_device.py": """
        def test_on(device): assert device == "cuda"
        """,
    "tests/test_browser.py": """
        import a_package_that_is_not_there
        """,
    "tests/test_other.py": """
        import pytest, time
        def test_not_marked(): assert False
        @pytest.mark.gpu
        def test_marked(): pass
        @pytest.mark.gpu
        @pytest.mark.slow
        def test_slow(): assert False
        @pytest.mark.gpu
        def test_skipped(): pytest.skip("needs a GPU")
        """,
}


def write_repository(folder, **files):
    for name, text in (REPOSITORY | files).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))


@pytest.mark.slow
def test_the_tests_that_use_a_gpu_run_and_say_what_failed(tmp_path, monkeypatch):
    write_repository(tmp_path / "repository")
    monkeypatch.setattr(checks, "ROOT", tmp_path / "repository")
    status, file = measure(tmp_path, "--parts", "tests", "--seconds", "60")
    assert status == 1
    of_kernels, marked = file["rows"]
    counts = ("passed", "failed", "errors", "skipped")
    assert [of_kernels[name] for name in counts] == [1, 1, 1, 0]
    assert [marked[name] for name in counts] == [2, 0, 0, 1]
    assert sorted(of_kernels["failures"]) == [
        f"tests.recurrent.test_triton::test_{name}" for name in ("broken", "wrong")
    ]
    assert "one is not two" in of_kernels["failures"]["tests.recurrent.test_triton::test_wrong"]
    text = tables(tmp_path)
    assert "| kernels | 1 | 1 | 1 | 0 |" in text
    assert "- tests.recurrent.test_triton::test_wrong: AssertionError: one is not two" in text


@pytest.mark.slow
@pytest.mark.parametrize("ignored", [False, True])
def test_tests_that_take_too_long_are_interrupted_and_report_what_they_have(tmp_path, monkeypatch, ignored):
    """Also where a shell runs the command in the background, which then ignores SIGINT."""
    endless = """
        import pathlib, time
        def test_right(): pass
        def test_endless():
            pathlib.Path("begun").touch()
            time.sleep(100)
        """
    write_repository(tmp_path, **{checks.KERNEL_TESTS: endless})
    monkeypatch.setattr(checks, "ROOT", tmp_path)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if ignored else signal.getsignal(signal.SIGINT)
    run, patience = checks.Run(tmp_path / "report", [checks.KERNEL_TESTS]), Deadline(60)
    signal.signal(signal.SIGINT, before)
    try:
        while not (tmp_path / "begun").exists() and not patience.passed():
            time.sleep(0.1)
        assert run.interrupt()
        run.wait(30)
    finally:
        run.end()
    row = run.row()
    assert (row["passed"], row["interrupted"]) == (1, True)


@pytest.mark.parametrize("row", [None, {"failed": 1, "errors": 0}, {"failed": 0, "errors": 1}])
def test_tests_that_fail_or_break_or_report_nothing_are_a_failure(row, tmp_path, monkeypatch):
    class Run:
        def __init__(self, place, arguments):
            pass

        def row(self):
            return row and {"passed": 1, "skipped": 0, "seconds": 1, "interrupted": False, "failures": {}, **row}

        def output(self):
            return "no such option"

        wait = interrupt = end = lambda *_: None

    monkeypatch.setattr(checks, "Run", Run)
    status, file = measure(tmp_path, "--parts", "tests")
    assert status == 1
    whats = ("kernels", "marked gpu")
    assert file["errors"] == ({} if row else dict.fromkeys(whats, "pytest left no report: no such option"))


def test_without_a_repository_it_says_where_the_tests_are(tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "ROOT", tmp_path / "site-packages")
    status, file = measure(tmp_path, "--parts", "tests")
    assert status == 1
    assert "the tests are in the repository and not in the package" in file["errors"]["tests"]


def test_the_repository_has_tests_for_a_gpu():
    assert (checks.ROOT / checks.KERNEL_TESTS).is_file()
    assert {"tests/recurrent/test_parity.py", "tests/benchmarks/gpu/test_kernels.py"} <= set(checks.marked_files())
    assert checks.KERNEL_TESTS not in checks.marked_files()


def test_every_test_that_needs_a_gpu_is_marked():
    """The command would not run a test without the marker."""
    skipped = "mark.skipif(not torch.cuda" + ".is_available()"
    texts = {path.name: path.read_text() for path in (checks.ROOT / "tests").rglob("*.py")}
    assert [name for name, text in texts.items() if text.count(skipped) > text.count("mark.gpu")] == []
    assert sum(text.count(skipped) for text in texts.values()) >= 2
