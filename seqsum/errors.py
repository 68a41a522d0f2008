"""Errors that the command line prints without a traceback, and the checks of settings that raise them."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, get_args


class InputError(ValueError):
    """Something the user gave can't be used: a flag, a file, a folder. The message names it."""


class NotFiniteError(ArithmeticError):
    """A training stopped because a loss or a weight is NaN or infinite. The message names the step."""


def check_choice(name: str, value: Any, choices: Any) -> None:
    """Raise an InputError unless an argument is one of the values of a `Literal`."""
    if value not in get_args(choices):
        raise InputError(f"`{name}` (={value!r}) must be one of {', '.join(map(repr, get_args(choices)))}")


def missing_size(flag: str, of_data: str) -> InputError:
    """Make the error for a size that was not given, and that the data don't have either."""
    return InputError(f"`{flag}` must be given: these data have no `{of_data}` that it follows")


def check_seed_number(name: str, seed: int, given: Any) -> None:
    """Raise an InputError, which shows the seed as it was given, if NumPy does not take it."""
    if not 0 <= seed < 2**32:
        raise InputError(f"`{name}` (={given}) must be from 0 to {2**32 - 1}")


def check_sizes(**sizes: int) -> None:
    """Raise a ValueError that names the first size below one."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"`{name}` (={size}) must be at least 1")


def check_at_least(flag: str, value: float, least: float, whole: bool = True) -> None:
    """Raise an InputError for a value below the least allowed, or one that is no number, by default no whole one."""
    if not (is_whole(value) if whole else is_number(value)):
        raise InputError(f"`{flag}` (={value!r}) must be a {'whole ' if whole else ''}number")
    if not value >= least:  # also NaN
        raise InputError(f"`{flag}` (={value}) must be at least {least}")


def is_number(value: Any) -> bool:
    """Whether a value is a real number, maybe NaN or infinite: Python's or NumPy's, but no bool."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number by its type; 4.0 is not."""
    return isinstance(value, Integral) and not isinstance(value, bool)
