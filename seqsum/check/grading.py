"""A folder of submissions as a table: each is checked in a process of its own, so that none can harm another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Grade:
    """What came out for one submission.

    Attributes:
        file: The submission.
        passed: Whether nothing failed.
        verdict: The first thing to mend, or why there is no report.
        report: All of it, as `Report.to_dict`; empty if there is none.
    """

    file: str
    passed: bool
    verdict: str
    report: dict[str, Any] = field(default_factory=dict)

    def count(self, status: str) -> int:
        """How many checks came out so."""
        return sum(result["status"] == status for result in self.report.get("results", ()))


def find_submissions(targets: Sequence[str]) -> list[Path]:
    """The files that are meant by files and folders; those whose names start with `_` are none."""
    files: list[Path] = []
    for target in map(Path, targets):
        files += sorted(target.glob("*.py")) if target.is_dir() else [target]
    return [file for file in files if not file.name.startswith("_")]


def grade(
    files: Iterable[Path], options: Sequence[str] = (), timeout: float = 120, pages: Path | None = None
) -> list[Grade]:
    """Check files side by side, as many at a time as there are processors.

    Args:
        files: One cell in each.
        options: Of `python -m seqsum.check`, for each of them.
        timeout: Seconds after which one is given up.
        pages: A folder for a page of each.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(partial(_grade_one, options=list(options), timeout=timeout, pages=pages), files))


def _grade_one(file: Path, options: list[str], timeout: float, pages: Path | None) -> Grade:
    command = [sys.executable, "-m", "seqsum.check", str(file), "--json", *options]
    command += [f"--html={pages / file.stem}.html"] if pages is not None else []
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment, check=False)
    except subprocess.TimeoutExpired:
        return Grade(str(file), False, f"not finished within {timeout:g} s")
    try:
        report = json.loads(done.stdout)
    except json.JSONDecodeError:
        last = (done.stderr.strip().splitlines() or ["nothing said"])[-1]
        return Grade(str(file), False, f"the process ended with code {done.returncode}: {last}")
    failed = [result for result in report["results"] if result["status"] == "failed"]
    noted = [result for result in report["results"] if result["status"] == "noted" and result["check"] == "equations"]
    first = (failed or noted or [{"title": "", "message": ""}])[0]
    return Grade(str(file), report["passed"], first["message"], report)


def make_table(grades: Sequence[Grade]) -> str:
    """One row a submission."""
    head = ("submission", "result", "wrong", "unchecked", "first")
    rows = [
        (
            Path(grade.file).name,
            "right" if grade.passed else "WRONG",
            str(grade.count("failed")) if grade.report else "-",
            str(grade.count("skipped")) if grade.report else "-",
            grade.verdict,
        )
        for grade in grades
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)][:-1]
    lines = [
        "  ".join([*(text.ljust(w) for text, w in zip(row, widths, strict=False)), row[-1]]) for row in (head, *rows)
    ]
    return "\n".join([*map(str.rstrip, lines), f"{sum(grade.passed for grade in grades)} of {len(grades)} are right"])


def to_json(grades: Sequence[Grade]) -> str:
    """All grades with their reports."""
    return json.dumps([asdict(grade) for grade in grades], indent=2)
