"""How the programs of this package speak: lines beside a progress bar, and one line for a mistake."""

from __future__ import annotations

import sys
from typing import NoReturn

import rich


def print_line(line: str) -> None:
    """Print through rich, which keeps a progress bar below; unbroken, so that paths can be copied."""
    rich.get_console().print(line, highlight=False, markup=False, soft_wrap=True)


def fail(message: str | None) -> NoReturn:
    """Say what is wrong, without a traceback, and exit."""
    if message:
        sys.stderr.write(f"error: {message}\n")
    sys.exit(2)
