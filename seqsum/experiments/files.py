"""What every experiment leaves behind beside its numbers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import rich
from matplotlib.figure import Figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure as an image, and say where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    rich.print(f"Picture: {path}")


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """The options of a command as JSON can hold them."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
