"""A part's JSON file, rewritten with every row, so that a killed run leaves what it measured."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from seqsum.files import write_atomically
from seqsum.tables import machine

MESSAGE = 4000  # most characters kept of an error, since a compiler's may be long


class Results:
    """The results of one part of the benchmark so far.

    Args:
        path: Path of the file; a file of an earlier run is replaced at once.
        head: Entries of the file before its rows, see `head_of`.
        name: Name of the list of rows in the file.
    """

    def __init__(self, path: Path, head: dict[str, Any], name: str = "rows") -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.head, self.name = path, head, name
        self.started = time.perf_counter()
        self.rows: list[dict[str, Any]] = []
        self.left_out: list[str] = []
        self.errors: dict[str, str] = {}
        self.finished = False
        self.at_work = ""
        self._write()

    def add(self, row: dict[str, Any]) -> None:
        """Add a row, also on disk."""
        self.rows.append(row)
        self._write()

    def leave_out(self, what: str) -> None:
        """Note a measurement for which there was no time."""
        self.left_out.append(what)
        self._write()

    @contextmanager
    def noting(self, what: str) -> Iterator[None]:
        """Note what the block does and any error in it, and continue, so that one failure stops no other measurement.

        The file of a run that hangs and is killed then says where it was.
        """
        before, self.at_work = self.at_work, what
        self._write()
        try:
            yield
        except Exception as error:
            self.fail(what, error)
        self.at_work = before

    def fail(self, what: str, error: BaseException | str) -> None:
        """Note a failure and its reason."""
        self.errors[what] = (error if isinstance(error, str) else f"{type(error).__name__}: {error}")[:MESSAGE]
        print(f"{what} failed: {self.errors[what]}", flush=True)
        self._write()

    def finish(self) -> None:
        """Note that the part is complete."""
        self.finished, self.at_work = True, ""
        self._write()

    def _write(self) -> None:
        found = {
            **self.head,
            "seconds": round(time.perf_counter() - self.started, 1),
            "finished": self.finished,
            "at_work": self.at_work,
            "left_out": self.left_out,
            "errors": self.errors,
        }
        write_atomically(self.path, with_rows(found, self.name, self.rows))


def head_of(device: torch.device, command: str) -> dict[str, Any]:
    """Return the head of a file: machine and versions, date and command."""
    return {"machine": machine(device), "date": datetime.date.today().isoformat(), "command": command}


def with_rows(found: dict[str, Any], name: str, rows: list[dict[str, Any]]) -> str:
    """Write JSON of what was found, with a list of rows at its end, one per line."""
    head = json.dumps(found, indent=2).removesuffix("\n}")
    return f'{head},\n  "{name}": [' + ",".join(f"\n    {json.dumps(row)}" for row in rows) + "\n  ]\n}\n"


def read(folder: Path, part: str) -> dict[str, Any] | None:
    """Read a part's file from a folder; None if there is none."""
    path = folder / f"{part}.json"
    return json.loads(path.read_text()) if path.exists() else None
