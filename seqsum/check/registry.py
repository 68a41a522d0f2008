"""The list of checks, each a function named for what it shows; `run.GROUPS` says which to mend first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from seqsum.check.constructing import describe_error
from seqsum.check.places import place_of
from seqsum.check.result import USER_ERRORS, Fault, Result
from seqsum.check.subject import Subject

Function = Callable[[Subject], str | None]


class Check(NamedTuple):
    """One check.

    Attributes:
        name: Of its function.
        title: What holds when it passes.
        run: Returns a remark, or nothing; raises a `Fault`.
        needs: Checks without which this one says nothing.
        explanation: Its docstring.
        group: The module it is in.
    """

    name: str
    title: str
    run: Function
    needs: tuple[str, ...]
    explanation: str
    group: str


CHECKS: list[Check] = []


def check(title: str, needs: Sequence[str] = ()) -> Callable[[Function], Function]:
    """Register a check behind those there are."""

    def register(function: Function) -> Function:
        group = function.__module__.rpartition(".")[2]
        name: str = function.__name__
        CHECKS.append(Check(name, title, function, tuple(needs), " ".join((function.__doc__ or "").split()), group))
        return function

    return register


def run_check(check: Check, subject: Subject, earlier: dict[str, Result]) -> Result:
    """Make one check, unless one that it needs has failed or was not made."""
    blocked = [
        earlier[name] for name in check.needs if name in earlier and earlier[name].status in ("failed", "skipped")
    ]
    if blocked:
        return Result(check.name, check.title, "skipped", _why_skipped(blocked[0]))
    subject.renew()
    subject.pictures = {}
    try:
        remark = check.run(subject)
    except Fault as fault:
        return to_result(check, fault)
    except USER_ERRORS as error:  # the user's: whatever it is, it is a finding
        where = subject.place_in(error)
        message = f"{describe_error(error)}, raised {'here' if where else 'while the cell was checked'}"
        lacks = isinstance(error, NotImplementedError)  # a method that the class must define
        where = where or (place_of(subject.kind) if lacks else subject.where())
        return to_result(check, Fault(message, expected=check.explanation, where=where))
    return Result(check.name, check.title, "passed", remark or "", data=subject.pictures)


def _why_skipped(blocking: Result) -> str:
    """The check that failed, however many between it and this one were not made for it."""
    if blocking.status == "skipped":
        return blocking.message
    return f'not checked until "{blocking.title}" is right'


def to_result(check: Check, fault: Fault) -> Result:
    """The result of a check that found something."""
    return Result(
        check.name,
        check.title,
        fault.status,
        fault.message,
        fault.expected,
        fault.came,
        fault.example,
        fault.where,
        fault.data,
    )
