"""Tables of results: printed, as Markdown, and as JSON with the machine that they are of."""

from __future__ import annotations

import argparse
import json
import platform
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text

from seqsum.console import print_line


def machine(device: torch.device) -> dict[str, Any]:
    """Describe device, threads and versions, for tables and files."""
    packages = ("torch", "torchvision", "lightning", "triton", "keras", "tensorflow")
    gpu = _gpu(device) if device.type == "cuda" else {}
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        **gpu,
        "threads": torch.get_num_threads(),
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        **{name: found for name in packages if (found := _version(name))},
    }


def _gpu(device: torch.device) -> dict[str, Any]:
    return {
        "capability": list(torch.cuda.get_device_capability(device)),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def show(title: str, rows: list[dict[str, Any]]) -> None:
    """Print neighbouring rows with the same keys as a table."""
    for names, group in groupby(rows, key=tuple):
        alike = list(group)
        table = Table(title=Text(title), title_justify="left")
        for name in names:
            table.add_column(Text(name), justify="left" if isinstance(alike[0][name], str) else "right")
        for row in alike:
            cells = (f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values())
            table.add_row(*map(Text, cells))  # not read as markup: a word may be `[/b]`
        Console(width=max(Console().width, 140)).print(table)  # wide enough not to wrap cells


def write(path: Path, device: torch.device, options: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """Write machine, options of the command and rows to a JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
    path.write_text(json.dumps({"machine": machine(device), "settings": settings, "rows": rows}, indent=2) + "\n")
    print_line(f"Written to {path}")


def write_markdown(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows with the same keys as a Markdown table, and print its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    path.write_text("".join(f"| {' | '.join(cells)} |\n" for cells in lines), encoding="utf-8")
    print_line(f"Table: {path}")
