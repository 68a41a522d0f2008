"""Print lines above a progress bar, and report errors in one line."""

from __future__ import annotations

import sys
from typing import NoReturn

import rich


def print_line(line: str) -> None:
    """Print a line through rich, above any progress bar; don't wrap it, so that paths can be copied."""
    rich.get_console().print(line, highlight=False, markup=False, soft_wrap=True)


def fail(message: str | None) -> NoReturn:
    """Print an error without a traceback, and exit with status 2."""
    if message:
        sys.stderr.write(f"error: {message}\n")
    sys.exit(2)
