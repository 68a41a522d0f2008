"""Errors that the command line prints without a traceback."""

from __future__ import annotations

from typing import Any, get_args


class InputError(ValueError):
    """Something the user gave can't be used: a flag, a file, a folder. The message names it."""


class NotFiniteError(ArithmeticError):
    """A training stopped because a loss or a weight is NaN or infinite. The message names the step."""


def check_choice(name: str, value: Any, choices: Any) -> None:
    """Raise an InputError unless an argument is one of the values of a `Literal`."""
    if value not in get_args(choices):
        raise InputError(f"`{name}` (={value!r}) must be one of {', '.join(map(repr, get_args(choices)))}")
