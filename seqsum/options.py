"""Options of commands that are checked while the command line is read: before anything is trained or measured."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from shlex import shlex
from typing import Any, cast

import torch

from seqsum.data.labels import check_labels
from seqsum.errors import InputError, check_at_least, check_seed_number


class Checked(argparse.Action):
    """Store a value or several, each as `check` returns it.

    Args:
        check: Called with the flag and a value; raises an InputError for one that can't be used.
    """

    def __init__(self, *args: Any, check: Callable[[str, Any], Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.check = partial(check, self.option_strings[0])

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        found = [self.check(value) for value in values] if isinstance(values, list) else self.check(values)
        setattr(namespace, self.dest, found)


def _action(check: Callable[[str, Any], Any], read: Callable[[str], Any]) -> type[argparse.Action]:
    """Return an action that reads each value, then checks it; argparse calls it as it calls a class."""
    return cast("type[argparse.Action]", partial(Checked, check=check, type=read))


def at_least(least: int) -> type[argparse.Action]:
    """Return the `action` of an option of numbers, integers by default, that must be at least so large."""

    def check(flag: str, value: int) -> int:
        check_at_least(flag, value, least, whole=False)  # whole ones are asked for by the type
        return value

    return _action(check, int)


def a_seed() -> type[argparse.Action]:
    """Return the `action` of an option of seeds, such as NumPy takes."""

    def check(flag: str, value: int) -> int:
        check_seed_number(flag, value, value)
        return value

    return _action(check, int)


def above(limit: float) -> type[argparse.Action]:
    """Return the `action` of an option of numbers that must be larger than a limit."""

    def check(flag: str, value: float) -> float:
        if not value > limit:
            raise InputError(f"`{flag}` (={value}) must be above {limit}")
        return value

    return _action(check, float)


def labels_of(classes: int) -> type[argparse.Action]:
    """Return the `action` of an option of numbers of labels for so many classes, or `all`; they are kept as text."""

    def check(flag: str, value: str) -> str:
        if value == "all":
            return value
        if not value.isdecimal():
            raise InputError(f"`{flag}` (={value}) must be a number, or all")
        check_labels(flag, int(value), classes)
        return str(int(value))

    return _action(check, str)


def quoted_flags(text: str) -> list[str]:
    """Split flags that were given in quotation marks, as a shell does; the `type` of an option."""
    try:
        words = shlex(text, posix=True, punctuation_chars=False)
        words.whitespace_split, words.commenters = True, ""
        if os.name == "nt":
            words.escape = ""  # a backslash stands between folders there
        return list(words)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} can't be split into flags: {error}") from error


def device_of(name: str) -> torch.device:
    """Return the device that `--device` names.

    Raises:
        InputError: torch knows no such device, or the machine has none.
    """
    with _refused(name):
        device = device_named(name)
        torch.empty(0, device=device)
    return device


def device_named(name: str) -> torch.device:
    """Return the device that `--device` names, without using it, for a process that leaves it to others.

    Raises:
        InputError: torch knows no such device.
    """
    with _refused(name):
        return torch.device(name)


@contextmanager
def _refused(name: str) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, AssertionError) as error:  # the latter where torch was built without that device
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"`--device` (={name}) can't be used: {reason}") from error
