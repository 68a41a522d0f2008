"""Cases of a matrix: every pair of values by default, the whole matrix under `-m slow`."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import pytest


def pairs_of(case: tuple[Any, ...]) -> set[tuple[int, Any, int, Any]]:
    """The pairs of values in a case, each with its places."""
    places = itertools.combinations(enumerate(case), 2)
    return {(i, one, j, other) for (i, one), (j, other) in places}


def cover(*axes: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Choose cases of `itertools.product(*axes)` that contain every pair of values of two axes.

    A fault that depends on one option or on how two of them meet shows in a covering array, which is much smaller than
    the product. The choice is greedy, so always the same.
    """
    cases = list(itertools.product(*axes))
    open_pairs = set().union(*map(pairs_of, cases))
    chosen = []
    while open_pairs:
        best = max(cases, key=lambda case: len(open_pairs & pairs_of(case)))
        open_pairs -= pairs_of(best)
        chosen.append(best)
    return sorted(chosen, key=cases.index)


def covering(*axes: Iterable[Any]) -> list[Any]:
    """Parameters for `parametrize`: all cases, those that `cover` leaves out marked as slow."""
    axes = tuple(tuple(axis) for axis in axes)
    chosen = set(cover(*axes))
    cases = itertools.product(*axes)
    return [case if case in chosen else pytest.param(*case, marks=pytest.mark.slow) for case in cases]
