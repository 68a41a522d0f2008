"""A part's JSON file, written anew with every row: a run that is killed leaves what it has measured."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from seqsum.benchmarks.timing import machine
from seqsum.files import write_atomically

MESSAGE = 4000  # characters of an error that are kept: a compiler can say a lot


class Results:
    """What one part of the benchmark has found so far.

    Args:
        path: Of the file. What an earlier run left there is replaced at once.
        head: What the file says before its rows, see `head_of`.
        name: Of the list of rows in the file.
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
        """Keep a row, on disk too."""
        self.rows.append(row)
        self._write()

    def leave_out(self, what: str) -> None:
        """Note what there was no time for."""
        self.left_out.append(what)
        self._write()

    @contextmanager
    def noting(self, what: str) -> Iterator[None]:
        """Note what the block is at, and an error in it, and go on after it: no compiler's stops another measurement.

        A run that hangs and is killed so says where it was.
        """
        before, self.at_work = self.at_work, what
        self._write()
        try:
            yield
        except Exception as error:
            self.fail(what, error)
        self.at_work = before

    def fail(self, what: str, error: BaseException | str) -> None:
        """Note what failed, and why."""
        self.errors[what] = (error if isinstance(error, str) else f"{type(error).__name__}: {error}")[:MESSAGE]
        print(f"{what} failed: {self.errors[what]}", flush=True)
        self._write()

    def finish(self) -> None:
        """Note that nothing more will come."""
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
    """Machine and versions, date and command."""
    return {"machine": machine(device), "date": datetime.date.today().isoformat(), "command": command}


def with_rows(found: dict[str, Any], name: str, rows: list[dict[str, Any]]) -> str:
    """JSON of what was found, and at its end a list of rows, one a line."""
    head = json.dumps(found, indent=2).removesuffix("\n}")
    return f'{head},\n  "{name}": [' + ",".join(f"\n    {json.dumps(row)}" for row in rows) + "\n  ]\n}\n"


def read(folder: Path, part: str) -> dict[str, Any] | None:
    """What a part has left in a folder; None if nothing."""
    path = folder / f"{part}.json"
    return json.loads(path.read_text()) if path.exists() else None
