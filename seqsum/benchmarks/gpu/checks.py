"""Runs the repository's GPU tests in separate processes: what passed, what failed, and why."""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree

import torch

import seqsum
from seqsum.benchmarks.gpu.budget import Deadline
from seqsum.benchmarks.gpu.results import Results

ROOT = Path(seqsum.__file__).parents[1]
KERNEL_TESTS = "tests/recurrent/test_triton.py"
MARKED = re.compile(r"mark\.gpu|def test_\w+\([^)]*\bdevice\b")
PATIENCE = 20.0  # seconds for an interrupted pytest to write its report; it waits 10 for a process that hangs
HANGING = 90  # seconds after which pytest-timeout ends a test with its process; pytest-xdist starts another
TAIL = 2000  # characters of an output that are kept


def measure(options: argparse.Namespace, device: torch.device, results: Results, deadline: Deadline) -> None:
    """Add a row for the tests of the kernels, and one for all other tests marked `gpu`.

    They run side by side, each in several processes, and are interrupted when the time is up. The tests choose
    their device themselves: the GPU if there is one.
    """
    if not (ROOT / KERNEL_TESTS).is_file():
        results.fail("tests", f"the tests are in the repository and not in the package; {ROOT} has no {KERNEL_TESTS}")
        return
    selections = {"kernels": [KERNEL_TESTS], "marked gpu": ["-m", "gpu and not slow", *marked_files()]}
    with TemporaryDirectory(prefix="seqsum-tests-") as folder:
        runs = {what: Run(Path(folder) / str(number), given) for number, (what, given) in enumerate(selections.items())}
        for run in runs.values():
            run.wait(deadline.left())
        unfinished, patience = [run for run in runs.values() if run.interrupt()], Deadline(PATIENCE)
        for run in unfinished:
            run.wait(patience.left())
        for what, run in runs.items():
            run.end()
            if (row := run.row()) is None:
                results.fail(what, f"pytest left no report: {run.output()}")
            else:
                results.add({"what": what, **row})


def marked_files() -> list[str]:
    """List the files with tests marked `gpu`, by the marker or by the fixture `device`, except the kernels' tests.

    Other files are not imported, because they may need packages, such as a browser's, that a GPU machine lacks.
    """
    paths = (path for path in sorted((ROOT / "tests").rglob("test_*.py")) if MARKED.search(path.read_text()))
    return [name for path in paths if (name := path.relative_to(ROOT).as_posix()) != KERNEL_TESTS]


class Run:
    """A running pytest.

    Args:
        place: Path of its report and its output, without suffix.
        arguments: Arguments that select the tests.
    """

    def __init__(self, place: Path, arguments: list[str]) -> None:
        self.report, self.log = place.with_suffix(".xml"), place.with_suffix(".log")
        processes = max(1, min(6, (os.cpu_count() or 1) // 2))  # other processes compile kernels meanwhile
        command = [
            *(sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider"),
            *(f"--numprocesses={processes}", f"--maxprocesses={processes}", "--dist=worksteal"),
            *(f"--junitxml={self.report}", *arguments),
        ]
        if find_spec("pytest_timeout"):
            command += [f"--timeout={HANGING}", "--timeout-method=thread"]  # no signal reaches a test that waits in C
        self.interrupted = False
        with self.log.open("w") as log:
            streams: dict[str, Any] = {"stdout": log, "stderr": subprocess.STDOUT}
            # the function takes no lock that a thread of this process may hold
            self.process = subprocess.Popen(command, cwd=ROOT, preexec_fn=_heed_interrupts, **streams)  # noqa: PLW1509

    def wait(self, seconds: float) -> None:
        """Wait until it is done, at most `seconds`."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)

    def interrupt(self) -> bool:
        """If it is still running, make it stop and report what it has; return whether it was running."""
        self.interrupted = self.process.poll() is None
        if self.interrupted:
            self.process.send_signal(signal.SIGINT)
        return self.interrupted

    def end(self) -> None:
        """Kill it, whatever it is doing."""
        self.process.kill()
        self.process.wait()

    def row(self) -> dict[str, Any] | None:
        """Read its report; None if there is none."""
        if not self.report.exists():
            return None
        suite = next(ElementTree.parse(self.report).iter("testsuite"))
        counted = ("tests", "errors", "failures", "skipped")
        total, errors, failed, skipped = (int(suite.get(name, 0)) for name in counted)
        failures = {
            f"{case.get('classname')}::{case.get('name')}": (found.get("message") or found.text or "")[:TAIL]
            for case in suite.iter("testcase")
            for found in case
            if found.tag in ("failure", "error")
        }
        passed = total - errors - failed - skipped
        counts = {"passed": passed, "failed": failed, "errors": errors, "skipped": skipped}
        seconds = round(float(suite.get("time", 0)), 1)
        return {**counts, "seconds": seconds, "interrupted": self.interrupted, "failures": failures}

    def output(self) -> str:
        """Return the end of its output."""
        return self.log.read_text()[-TAIL:]


def _heed_interrupts() -> None:
    """Heed SIGINT again, which shells make all that they start in the background ignore."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
