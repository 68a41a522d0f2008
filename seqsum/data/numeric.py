"""What counts as a number where settings are checked: Python's and NumPy's, but no bool, which Python takes for one."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any


def is_number(value: Any) -> bool:
    """Whether a value is a real number, maybe NaN or infinite."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number by its type; 4.0 is not."""
    return isinstance(value, Integral) and not isinstance(value, bool)
