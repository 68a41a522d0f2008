"""What one check found: a `Fault`, which it raises, and the `Result` that is kept of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from textwrap import indent
from typing import Any, Literal

Status = Literal["passed", "noted", "failed", "skipped"]
MARKS: dict[str, str] = {"passed": "ok  ", "noted": "note", "failed": "FAIL", "skipped": "  - "}

USER_ERRORS = (Exception, SystemExit)  # what a user's code may raise, `sys.exit()` too; Ctrl-C is the user's own


class Fault(Exception):  # noqa: N818  # not an error of the program, but what a check has found
    """Something is wrong with a cell.

    Args:
        message: The fault in one sentence.
        expected: What should have come.
        came: What came.
        example: The smallest input that shows it.
        where: `file:line` to look at, and what stands there.
        status: "noted" for what is worth knowing and not wrong.
        data: Numbers for pictures, by name.
    """

    def __init__(
        self,
        message: str,
        *,
        expected: str = "",
        came: str = "",
        example: str = "",
        where: str = "",
        status: Status = "failed",
        data: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.expected, self.came, self.example, self.where = expected, came, example, where
        self.status = status
        self.data = data or {}


@dataclass(frozen=True)
class Result:
    """One check and what it found; see `Fault`."""

    check: str
    title: str
    status: Status
    message: str = ""
    expected: str = ""
    came: str = ""
    example: str = ""
    where: str = ""
    data: dict[str, Any] = field(default_factory=dict)

    def details(self) -> dict[str, str]:
        """What is known of the fault beside its sentence, by what it is."""
        found = {"expected": self.expected, "came": self.came, "example": self.example, "look at": self.where}
        return {name: text for name, text in found.items() if text}

    def __str__(self) -> str:
        line = f"{MARKS[self.status]} {self.title}"
        if self.message:
            line += f": {self.message}"
        rows = [f"{name:<9}{text}" for name, text in self.details().items()]
        return "\n".join([line, *(indent(row, " " * 9) for row in rows)])
