"""All checks of one cell, in order."""

from __future__ import annotations

import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal, cast, get_args

import torch

from seqsum.chance import HostChance
from seqsum.check import (  # noqa: F401  # register
    contract,
    effects,
    gradients,
    learning,
    recurrence,
    shapes,
    speed,
    training,
    weights,
)
from seqsum.check.equations import verdict  # noqa: F401  # registers
from seqsum.check.loading import load
from seqsum.check.making import make_subject
from seqsum.check.registry import CHECKS, Check, run_check, to_result
from seqsum.check.report import Report
from seqsum.check.result import Fault, Result
from seqsum.recurrent.cells import Constants

Like = Literal["lstm", "gru", "rnn"]
LIKES: tuple[Like, ...] = get_args(Like)
MADE = Check("made", "it can be made", lambda subject: None, (), "An instance, or a class with two sizes.", "contract")
# what to mend first comes first
GROUPS = ("weights", "shapes", "contract", "effects", "recurrence", "gradients", "training", "verdict")


def ordered_checks(learn: bool) -> list[Check]:
    """The checks in order; those of learning and speed, which take longer, only if asked for."""
    groups = (*GROUPS, *(("learning", "speed") if learn else ()))
    return sorted((found for found in CHECKS if found.group in groups), key=lambda found: groups.index(found.group))


def check_cell(
    cell: Any, like: Like | None = None, *, learn: bool = False, constants: Constants | None = None
) -> Report:
    """Check a cell: its contract, its behaviour over time, its gradients, and its equations.

        report = seqsum.check_cell(MyLSTM, like="lstm")
        print(report)
        report.raise_for_failures()                    # in a test of your own

    Args:
        cell: A `RecurrentCell`; a plain module with the signature of torch.nn's cells, `forward(input, hx)`; or the
            class of either, which is made with small sizes. What is given is copied and stays as it is.
        like: The reference to hold the equations against; by default they are only recognised.
        learn: Whether to see how it learns and how fast it is as well, which takes up to a minute.
        constants: For a cell that takes constants from its caller: examples of them, as a layer's `forward` takes them,
            with any number of rows. The checks take rows of them as they need.

    Returns:
        One result a check, in the order in which to mend them; `report.passed` says whether none failed.

    Raises:
        ValueError: An unknown `like`.
    """
    if like is not None and like not in LIKES:
        raise ValueError(f"`like` (={like!r}) must be one of {LIKES}")
    start = time.perf_counter()
    with _one_at_a_time, _quiet():
        results = tuple(_results(cell, like, learn, constants))
    name = getattr(cell, "__name__", type(cell).__name__)
    return Report(name, like, results, time.perf_counter() - start)


def check_target(target: str, like: Like | None = None, *, learn: bool = False) -> Report:
    """Check the class that a dotted path or a file names; that it can't be loaded is a result as any other."""
    try:
        return check_cell(load(target, like), like, learn=learn)
    except Fault as fault:
        return Report(target, like, (to_result(MADE, fault),))


def _results(cell: Any, like: str | None, learn: bool, constants: Constants | None) -> Iterator[Result]:
    checks = ordered_checks(learn)
    try:
        subject = make_subject(cell, like, constants)
    except Fault as fault:
        yield to_result(MADE, fault)
        for found in checks:
            yield Result(found.name, found.title, "skipped", "not checked, since there is no cell yet")
        return
    yield Result(MADE.name, MADE.title, "noted" if subject.remark else "passed", subject.remark)
    earlier: dict[str, Result] = {}
    for found in checks:
        earlier[found.name] = run_check(found, subject, earlier)
        yield earlier[found.name]


_one_at_a_time = threading.RLock()  # what `_quiet` changes is that of all threads


def _uncompiled() -> AbstractContextManager[Any]:
    """Run what `@torch.compile` wraps as it is written: to compile takes long, and changes no number."""
    is_used = "torch._dynamo" in sys.modules  # else `set_stance` would import it, which takes longer than a check
    return cast(Any, torch.compiler.set_stance("force_eager")) if is_used else nullcontext()


@contextmanager
def _quiet() -> Iterator[None]:
    """With gradients, other random numbers, one thread, and no warnings: what there is to say, the report says."""
    threads, chance = torch.get_num_threads(), HostChance()
    with warnings.catch_warnings(), torch.inference_mode(False), torch.enable_grad(), _uncompiled():
        warnings.simplefilter("ignore")
        torch.default_generator.manual_seed(0)
        torch.set_num_threads(1)  # for small sizes the fastest, and fair where many are graded side by side
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            chance.put_back()
