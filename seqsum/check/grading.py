"""A folder of submissions as a table: each is checked in a process of its own, so that none can harm another."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from seqsum.check.isolated import Ended, call_isolated
from seqsum.check.report import Report
from seqsum.check.run import Like, check_target


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
    """The files that are meant by files, and by folders with files or with folders of files.

    Names that start with `_` mean none, nor, in a folder, those that start with a dot. Notebooks are among them, to be
    named, unless one was exported, or lies beside the only file of its folder.
    """
    files: list[Path] = []
    for target in map(Path, targets):
        names = (f"{folder}[!_.]*.{suffix}" for folder in ("", "[!_.]*/") for suffix in ("py", "ipynb"))
        inside = [file for name in names for file in sorted(target.glob(name))]
        files += inside if target.is_dir() else [target]
    files = [file for file in files if not file.name.startswith("_")]
    beside = Counter(file.parent for file in files if file.suffix == ".py")
    handed_in = (file.with_suffix(".py") in files or beside[file.parent] == 1 for file in files)
    return [file for file, is_there in zip(files, handed_in, strict=True) if file.suffix != ".ipynb" or not is_there]


def grade(
    files: Iterable[Path],
    like: Like | None = None,
    *,
    learn: bool = False,
    timeout: float = 120,
    pages: Path | None = None,
) -> list[Grade]:
    """Check files side by side, as many at a time as there are processors.

    Args:
        files: One cell in each.
        like, learn: As for `check_cell`.
        timeout: Seconds after which one is given up.
        pages: A folder for a page of each.
    """

    def grade_one(file: Path) -> Grade:
        return read_grade(file, call_isolated(make_report, str(file), like, learn, timeout=timeout), timeout)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        grades = list(pool.map(grade_one, files))
    labels = label([grade.file for grade in grades])
    used: set[str] = set()
    for name, grade in zip(labels, grades, strict=True):  # here, where matplotlib is imported once
        if pages is not None and grade.report:
            page = name.removesuffix(".py").replace(os.sep, "_")
            while page in used:  # `ada/cell.py` and `ada_cell.py`
                page += "_"
            used.add(page)
            Report.from_dict(grade.report).to_html(pages / f"{page}.html")
    return grades


def label(files: Sequence[str]) -> list[str]:
    """Name each file as seen from the folder that holds all of them: `cell.py`, or `ada/cell.py`."""
    paths = [Path(file).resolve() for file in files]
    common = os.path.commonpath([path.parent for path in paths])
    return [str(path.relative_to(common)) for path in paths]


def make_report(file: str, like: Like | None, learn: bool) -> str:
    """The report of one file as JSON."""
    return check_target(file, like, learn=learn).to_json()


def read_grade(file: Path, ended: Ended, timeout: float) -> Grade:
    """The grade that follows from how the process of a file ended."""
    if ended.code is None:
        return Grade(str(file), False, f"not finished within {timeout:g} s")
    if not ended.result:
        last = (ended.said.strip().splitlines() or ["nothing said"])[-1]
        return Grade(str(file), False, f"the process ended with code {ended.code}: {last}")
    report = json.loads(ended.result)
    failed = [result for result in report["results"] if result["status"] == "failed"]
    noted = [result for result in report["results"] if result["status"] == "noted" and result["check"] == "equations"]
    first = (failed or noted or [{"title": "", "message": ""}])[0]
    return Grade(str(file), report["passed"], first["message"], report)


def make_table(grades: Sequence[Grade]) -> str:
    """One row a submission."""
    head = ("submission", "result", "wrong", "unchecked", "first")
    rows = [
        (
            name,
            "right" if grade.passed else "WRONG",
            str(grade.count("failed")) if grade.report else "-",
            str(grade.count("skipped")) if grade.report and len(grade.report["results"]) > 1 else "-",
            grade.verdict,
        )
        for name, grade in zip(label([grade.file for grade in grades]), grades, strict=True)
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)][:-1]
    lines = [
        "  ".join([*(text.ljust(w) for text, w in zip(row, widths, strict=False)), row[-1]]) for row in (head, *rows)
    ]
    return "\n".join([*map(str.rstrip, lines), f"{sum(grade.passed for grade in grades)} of {len(grades)} are right"])


def to_json(grades: Sequence[Grade]) -> str:
    """All grades with their reports."""
    return json.dumps([asdict(grade) for grade in grades], indent=2)
