"""What all checks of a cell found: as lines for people, as JSON for machines, as a page."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from seqsum.check.result import MARKS, Result
from seqsum.files import write_atomically

MANY = 12  # checks that are not made are named up to here


@dataclass(frozen=True, repr=False)
class Report(Sequence[Result]):
    """All results for one cell, in the order in which to mend what is wrong.

    Attributes:
        cell: The name of its class.
        like: What it was held against, or None.
        results: One for each check.
        seconds: What all checks took.
    """

    cell: str
    like: str | None
    results: tuple[Result, ...]
    seconds: float = 0.0

    def __getitem__(self, index: Any) -> Any:
        return self.results[index]

    def __len__(self) -> int:
        return len(self.results)

    @property
    def passed(self) -> bool:
        """Whether nothing failed. What was only noted counts as passed."""
        return not self.failures

    @property
    def failures(self) -> tuple[Result, ...]:
        """The results that failed, the first to mend first."""
        return tuple(result for result in self.results if result.status == "failed")

    def find(self, check: str) -> Result:
        """The result of the check of this name.

        Raises:
            KeyError: There is no such check in this report.
        """
        for result in self.results:
            if result.check == check:
                return result
        raise KeyError(f"{check!r} is none of {[result.check for result in self.results]}")

    def raise_for_failures(self) -> None:
        """Raise an AssertionError that is the report, if anything failed: for a test of your own."""
        if not self.passed:
            raise AssertionError(f"\n{self}")

    @property
    def verdict(self) -> str:
        """The result in one line."""
        counts = {status: sum(r.status == status for r in self.results) for status in ("failed", "noted", "skipped")}
        if self.passed:
            noted = counts["noted"]
            return "is right" + (f", with {noted} remark{'s' if noted > 1 else ''}" if noted else "")
        first = self.failures[0]
        skipped = f", {counts['skipped']} not made" if counts["skipped"] else ""
        return f"{counts['failed']} of {len(self.results)} checks failed{skipped}. Mend first: {first.title}"

    def __str__(self) -> str:
        like = f", held against {self.like}" if self.like else ""
        lines = [f"{self.cell}{like}"]
        for message, group in groupby(
            self.results, key=lambda result: result.message if result.status == "skipped" else ""
        ):
            if message:
                names = [result.title for result in group]
                lines.append(
                    f"{MARKS['skipped']} {message}: {'; '.join(names) if len(names) < MANY else 'all the rest'}"
                )
            else:
                lines += map(str, group)
        return "\n".join([*lines, f"{self.cell}: {self.verdict} ({self.seconds:.1f} s)"])

    __repr__ = __str__  # what a notebook shows

    def to_dict(self) -> dict[str, Any]:
        """All of it, of types that JSON knows; None stands for a number that is not finite."""
        return {
            "cell": self.cell,
            "like": self.like,
            "passed": self.passed,
            "verdict": self.verdict,
            "seconds": round(self.seconds, 2),
            "results": [_finite(asdict(result)) for result in self.results],
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Report:
        """The report that `to_dict` gave."""
        results = tuple(Result(**result) for result in values["results"])
        return cls(values["cell"], values["like"], results, values["seconds"])

    def to_json(self) -> str:
        """All of it as JSON."""
        return json.dumps(self.to_dict(), indent=2)

    def to_html(self, path: str | Path | None = None) -> str:
        """All of it as one HTML page with pictures that needs no server; written to `path`, if given."""
        from seqsum.check.page import make_page  # draws: needs matplotlib

        verdict = f"{self.cell} {self.verdict}." if self.passed else f"{self.verdict}."
        page = make_page(self.cell, self.like, verdict, self.results)
        if path is not None:
            write_atomically(Path(path), page)
        return page


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
