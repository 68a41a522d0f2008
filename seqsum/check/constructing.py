"""A user's class is made by the sizes that its constructor has names for; what it raises is a finding."""

from __future__ import annotations

import inspect
import re
from typing import Any

import torch

from seqsum.check.places import find_frame, place_of, source_file
from seqsum.check.report import USER_ERRORS, Fault
from seqsum.check.subject import HIDDEN_SIZE, INPUT_SIZE

HOW = "write `__init__(self, input_size, hidden_size)`, or give an instance that has both: `check_cell(MyCell(...))`"
SIZES = {"input_size": INPUT_SIZE, "hidden_size": HIDDEN_SIZE}
NAMES = {  # what parameters of constructors are called
    "hidden_size": r"hid|units|(^|_)out|n_h|h_dim|^h$|state|cells",
    "input_size": r"^in|input|feat|_in(_|$)|x_dim|^x$|emb|^n?_?d(im)?$",
}


def make(kind: type, sizes: dict[str, int] = SIZES) -> Any:
    """An instance of a user's class, with small sizes and weights that are the same in every run."""
    try:
        parameters = inspect.signature(kind).parameters.values()
    except (TypeError, ValueError) as error:
        raise Fault(f"{kind.__name__} can't be made ({error})", expected=HOW, where=place_of(kind)) from error
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        positional, named = _arguments(kind, list(parameters), sizes)
        try:
            return kind(*positional, **named)
        except USER_ERRORS as error:
            first = "`super().__init__()` as the first line" if "Module.__init__()" in str(error) else HOW
            message = f"`__init__` of {kind.__name__} raised {describe_error(error)}"
            raise broken(kind, message, error, expected=first) from error


def _arguments(
    kind: type, parameters: list[inspect.Parameter], sizes: dict[str, int]
) -> tuple[tuple[int, ...], dict[str, int]]:
    """The two sizes by the names that the constructor has for them; where these don't tell, in torch's order."""
    required = [p for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    in_order = tuple(sizes.values())
    if [p.kind for p in required] == [inspect.Parameter.VAR_POSITIONAL]:
        return in_order, {}
    found: dict[str, int] = {}
    for role, pattern in NAMES.items():
        named = [
            p for p in parameters if p.name not in found and (p.name == role or re.search(pattern, p.name.lower()))
        ]
        named.sort(key=lambda p: p.name != role)
        found |= {named[0].name: sizes[role]} if named else {}
    missing = [p.name for p in required if p.name not in found and p.kind is not p.VAR_POSITIONAL]
    if len(found) == 2 and not missing:
        return (), found
    if not found and any(p.kind is p.VAR_KEYWORD for p in parameters) and not missing:
        return (), sizes
    if len(required) == 2 and all(p.kind is p.POSITIONAL_OR_KEYWORD for p in required):
        return in_order, {}
    message = f"what `{missing[0]}` is to be is not known" if missing else "the constructor does not take both sizes"
    raise Fault(message, expected=HOW, came=f"`{kind.__name__}{inspect.signature(kind)}`", where=place_of(kind))


def broken(kind: type, message: str, error: BaseException, expected: str = "") -> Fault:
    """The fault that the user's code raised an error, with the place in the user's file."""
    return Fault(message, expected=expected, where=find_frame(error, source_file(kind)) or place_of(kind))


def describe_error(error: BaseException) -> str:
    """An error in one line."""
    try:
        lines = str(error).strip().splitlines()
    except USER_ERRORS:  # an error of the user's own may fail to tell itself
        lines = []
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
