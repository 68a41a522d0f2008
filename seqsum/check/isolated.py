"""Calls a function in a process of its own that can harm no other: what it prints, starts or waits for ends with it.

Each process starts as a copy of one that has imported torch already, which saves the seconds that an import takes.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

GRACE = 5.0  # seconds for a killed process to be gone


class Ended(NamedTuple):
    """How a process ended.

    Attributes:
        code: Its exit code; None if it did not end in time.
        result: What the function returned; "" if it did not come that far.
        said: All that was printed.
    """

    code: int | None
    result: str
    said: str


def call_isolated(function: Callable[..., str], *arguments: Any, timeout: float) -> Ended:
    """Call `function(*arguments)` in a process of its own, in the current folder.

    Args:
        function: Of a module, to be found by its name; it returns a text.
        arguments: What can be pickled.
        timeout: Seconds after which the process is killed, with all that it started.
    """
    methods = multiprocessing.get_all_start_methods()  # Windows has no forkserver, and imports torch each time
    context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    context.set_forkserver_preload([function.__module__])
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # what a cell started may hold files
        result, said = Path(folder, "result"), Path(folder, "said")
        process = context.Process(target=_work, args=(os.getcwd(), result, said, function, *arguments), daemon=True)
        process.start()
        process.join(timeout)
        code = process.exitcode
        _kill(process)
        return Ended(code, _read(result), _read(said))


def _work(folder: str, result: Path, said: Path, function: Callable[..., str], *arguments: Any) -> None:
    """In the process: no input, all output to one file, and the result to another that no `print` reaches."""
    if hasattr(os, "setsid"):
        os.setsid()  # a group of its own, to be killed as a whole
    os.chdir(folder)  # multiprocessing starts where the parent was when it was imported
    log = os.open(said, os.O_WRONLY | os.O_CREAT)
    for descriptor, target in ((0, os.open(os.devnull, os.O_RDONLY)), (1, log), (2, log)):
        os.dup2(target, descriptor)
    sys.stdin, sys.stdout, sys.stderr = (
        open(descriptor, mode, encoding="utf-8", errors="replace")  # noqa: SIM115  # as long as the process
        for descriptor, mode in enumerate("rww")
    )
    process = os.getpid()
    text = function(*arguments)
    if os.getpid() == process:  # not what a cell forked
        result.write_text(text, encoding="utf-8")


def _kill(process: BaseProcess) -> None:
    """End a process and all that it started, which may still run when it has ended."""
    if hasattr(os, "killpg") and process.pid is not None:
        with suppress(ProcessLookupError, PermissionError):  # none is left of the group; on macOS the latter
            os.killpg(process.pid, signal.SIGKILL)
    if process.is_alive():
        process.kill()
    process.join(GRACE)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
