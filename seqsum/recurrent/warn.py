"""Warnings that name the line of whoever called."""

from __future__ import annotations

import sys
import warnings

INSIDE = ("seqsum", "torch")


def warn_caller(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn in the name of the first line, from here outwards, that is neither this package's nor torch's."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in INSIDE:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
