"""A user's class is made by the sizes that its constructor has names for; what it raises is a finding."""

from __future__ import annotations

import inspect
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import torch
from torch import nn

from seqsum.check.places import find_frame, is_library, place_of, source_file
from seqsum.check.result import USER_ERRORS, Fault
from seqsum.check.subject import HIDDEN_SIZE, INPUT_SIZE
from seqsum.recurrent import RecurrentCell
from seqsum.recurrent.cells.constructor import NAMES, arguments_of

HOW = "write `__init__(self, input_size, hidden_size)`, or give an instance that has both: `check_cell(MyCell(...))`"
SIZES = {"input_size": INPUT_SIZE, "hidden_size": HIDDEN_SIZE}
# what the constructor of a cell with a readout calls its size
READOUT = r"(n_?|num_?)?(out(puts?)?|class(es)?|labels)(_?(size|dim|features|units|channels))?"
DIVISIBLE = {"input_size": 28, "hidden_size": 16}  # for cells that divide their units, as among heads


def make(kind: type, sizes: dict[str, int] = SIZES) -> Any:
    """An instance of a user's class, with small sizes and weights that are the same in every run."""
    if not issubclass(kind, nn.Module):
        expected = f"`class {kind.__name__}(RecurrentCell)`, or another nn.Module"
        raise Fault(f"{kind.__name__} is no nn.Module", expected=expected, where=place_of(kind))
    try:
        positional, named = _arguments_of(kind, sizes)
    except ValueError as error:
        raise Fault(f"{kind.__name__} can't be made ({error})", expected=HOW, where=place_of(kind)) from error
    except TypeError as error:
        came = f"`{kind.__name__}{inspect.signature(kind)}`"
        raise Fault(str(error), expected=HOW, came=came, where=place_of(kind)) from error
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        try:
            return kind(*positional, **named)
        except USER_ERRORS as error:
            message = f"`__init__` of {kind.__name__} raised {describe_error(error)}"
            raise broken(kind, message, error, expected=_mended(kind, error)) from error


def _arguments_of(kind: type, sizes: dict[str, int]) -> tuple[tuple[int, ...], dict[str, Any]]:
    try:
        return arguments_of(kind, sizes, {})
    except TypeError:
        if not (others := _others(kind, sizes)):
            raise
        return arguments_of(kind, sizes, others)


def _others(kind: type, sizes: dict[str, int]) -> dict[str, Any]:
    """What a constructor needs beside the sizes of input and state: a device, and the size of a readout."""
    required = [p.name for p in inspect.signature(kind).parameters.values() if p.default is p.empty]
    found: dict[str, Any] = {"device": "cpu"} if "device" in required else {}
    readouts = [name for name in required if re.fullmatch(READOUT, name)]
    rest = [name for name in required if name not in (*found, *readouts)]
    if readouts and len(rest) == 2 and all(any(re.search(of, name) for name in rest) for of in NAMES.values()):
        found |= dict.fromkeys(readouts, sizes["hidden_size"])
    return found


@contextmanager
def filled_memory() -> Iterator[None]:
    """Let `torch.empty` give NaN: what it finds in memory may look like any numbers."""
    deterministic: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    filled = deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)  # else torch does not fill it
    deterministic.fill_uninitialized_memory = True
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        deterministic.fill_uninitialized_memory = filled


def _mended(kind: type, error: BaseException) -> str:
    """What to write where the constructor of a class, or of a part of it, raised an error."""
    said = str(error)
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    made = [type(frame.f_locals.get("self")) for frame in frames]
    users = [part for part in made if issubclass(part, nn.Module) and not is_library(source_file(part))]
    kind = users[-1] if users else kind
    raised = frames[-1].f_globals.get("__name__"), frames[-1].f_code.co_name
    if raised == (nn.Module.__module__, "__init__"):  # it was given arguments, and takes none
        near = get_close_matches("__init__", vars(kind), 1, 0.7)
        if near and near[0] != "__init__":
            return f"`def __init__`, not `def {near[0]}`"
        if hasattr(kind, "project") and hasattr(kind, "step"):
            return f"`class {kind.__name__}(RecurrentCell)`, whose `__init__` takes the sizes"
        return "`super().__init__()` without arguments"
    if "Module.__init__()" in said or ("RecurrentCell.__init__()" in said and "missing" in said):
        if issubclass(kind, RecurrentCell):
            several = "`state_size=[hidden_size, hidden_size]` for two states"
            return f"`super().__init__(input_size, hidden_size)` as the first line, with {several}"
        return "`super().__init__()` as the first line"
    if isinstance(error, TypeError | ValueError | AttributeError) and said.startswith("`"):
        return ""  # it is of this package, and says what must be
    return HOW


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
