"""Print lines above a progress bar, and report errors in one line."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import rich

from seqsum.errors import InputError


def print_line(line: str) -> None:
    """Print a line through rich, above any progress bar; don't wrap it, so that paths can be copied."""
    rich.get_console().print(line, highlight=False, markup=False, soft_wrap=True)


def write_any_character() -> None:
    """Replace characters that the encoding of the output lacks: on Windows, that of files and pipes has no `→`."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a notebook's has none, and takes all
            stream.reconfigure(errors="replace")


def quote(argument: str) -> str:
    """Quote an argument for the shell that a printed command is to be copied to."""
    return subprocess.list2cmdline([argument]) if os.name == "nt" else shlex.quote(argument)


@contextmanager
def errors_in_a_line() -> Iterator[None]:
    """Print a user's mistake without a traceback, and exit with status 2; exit with 1 after Ctrl-C."""
    try:
        yield
    except InputError as error:
        fail(str(error))
    except KeyboardInterrupt:
        sys.exit(1)


def fail(message: str | None) -> NoReturn:
    """Print an error without a traceback, and exit with status 2."""
    if message:
        sys.stderr.write(f"error: {message}\n")
    sys.exit(2)
