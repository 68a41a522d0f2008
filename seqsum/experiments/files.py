"""Write figures and tables of experiments."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from seqsum.console import print_line
from seqsum.tables import show, write, write_markdown

DPI = 110  # legible on a page, with a file of about a hundred kilobytes
CPU = torch.device("cpu")


def trained_on() -> torch.device:
    """The device that trainings take unless told otherwise."""
    return torch.device("cuda") if torch.cuda.is_available() else CPU


def save(figure: Figure, path: Path) -> None:
    """Write a figure as an image, and print its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)
    print_line(f"Picture: {path}")


def save_table(
    title: str,
    name: str,
    rows: list[dict[str, Any]],
    options: argparse.Namespace,
    numbers: list[dict[str, Any]] | None = None,
) -> None:
    """Print a table, and write `NAME.md` and `NAME.json`, which has other `numbers` if they are given."""
    show(title, rows)
    write_markdown(options.output / f"{name}.md", rows)
    write(options.output / f"{name}.json", trained_on(), options, rows if numbers is None else numbers)
