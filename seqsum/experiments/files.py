"""Write figures and tables of experiments."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import rich
from matplotlib.figure import Figure

DPI = 110  # legible on a page, with a file of about a hundred kilobytes


def save(figure: Figure, path: Path) -> None:
    """Write a figure as an image, and print its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)
    rich.print(f"Picture: {path}")


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """Convert the options of a command to values that JSON supports."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
