"""From what the user gives to a cell that can be checked: a class is made, a plain module wrapped."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from torch import nn

from seqsum.check.adapter import Form, ModuleCell, read_result
from seqsum.check.report import Fault
from seqsum.check.subject import BATCH, HIDDEN_SIZE, INPUT_SIZE, LARGE, Subject, find_frame, place_of, source_file
from seqsum.recurrent import Recurrent, RecurrentCell
from seqsum.recurrent.cells import require_cell
from seqsum.recurrent.explain import describe

HOW = "write `__init__(self, input_size, hidden_size)`, or give an instance: `check_cell(MyCell(...))`"
FORWARD = "`forward(input, hx)` for one step, with an input (B, F), that returns the new hidden state or (hidden, cell)"
OR_CELL = f"a RecurrentCell with `project` and `step`, or a module with {FORWARD}"
SIZES = {"input_size": INPUT_SIZE, "hidden_size": HIDDEN_SIZE}
NAMES = {  # what parameters of constructors are called
    "hidden_size": r"hid|units|^out|output|n_h|h_dim|^h$|state|cells",
    "input_size": r"^in|input|feat|n_in|x_dim|^x$|emb|^n?_?d(im)?$",
}


def make_subject(given: Any, like: str | None) -> Subject:
    """The cell to check, from an instance or a class.

    Raises:
        Fault: It can't be made, or is no cell.
    """
    made = make(given) if isinstance(given, type) else given
    if not isinstance(made, nn.Module):
        raise Fault(f"{describe(made)} is no module", expected=OR_CELL, came=repr(made)[:80], where=_place(made))
    if isinstance(made, nn.RNNBase | Recurrent):
        instead = "its cell, `layer.cells[0]`" if isinstance(made, Recurrent) else "torch.nn's cell of the same name"
        raise Fault(f"{type(made).__name__} is a layer, which takes whole sequences, and no cell", expected=instead)
    if isinstance(made, RecurrentCell) or (hasattr(made, "step") and hasattr(made, "project")):
        _require_contract(made)
        cell: RecurrentCell = _handy(made)
    else:
        cell = wrap(made, like, SIZES if isinstance(given, type) else {})
    return Subject(cell, like, partial(resize, given if isinstance(given, type) else cell, cell))


def resize(given: Any, cell: RecurrentCell, input_size: int, hidden_size: int) -> RecurrentCell:
    """A cell of the same kind with other sizes; where it can't be made, a copy as it is."""
    sizes = {"input_size": input_size, "hidden_size": hidden_size}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        with suppress(Exception):  # one that can't be made again is taken as it is
            made = make(given, sizes) if isinstance(given, type) else given.like(input_size, hidden_size=hidden_size)
            if isinstance(cell, ModuleCell):
                made = ModuleCell(made, **sizes, states=len(cell.state_size), form=cell.form)
            if (made.input_size, made.hidden_size) == (input_size, hidden_size):
                return made
    return copy.deepcopy(cell)


def make(kind: type, sizes: dict[str, int] = SIZES) -> Any:
    """An instance of a user's class, with small sizes and weights that are the same in every run."""
    try:
        parameters = inspect.signature(kind).parameters.values()
    except (TypeError, ValueError) as error:
        raise Fault(f"{kind.__name__} can't be made ({error})", expected=HOW, where=place_of(kind)) from error
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        positional, named = _arguments(kind, list(parameters), sizes)
        try:
            return kind(*positional, **named)
        except Exception as error:
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


def _require_contract(cell: nn.Module) -> None:
    try:
        require_cell(cell)
    except TypeError as error:
        raise Fault(str(error), expected="a subclass of seqsum.RecurrentCell", where=_place(cell)) from error


def _handy(cell: Any) -> RecurrentCell:
    """The cell, made again with small sizes where it is large or two of its blocks of weights have the same shape."""
    confusing = cell.input_size % cell.hidden_size == 0 or cell.hidden_size % cell.input_size == 0
    if confusing or cell.hidden_size > LARGE:
        return resize(cell, cell, INPUT_SIZE, HIDDEN_SIZE)
    return copy.deepcopy(cell)


def wrap(module: nn.Module, like: str | None, sizes: dict[str, int]) -> ModuleCell:
    """A plain module in an adapter, by the first form of its state that it runs with."""
    sizes = sizes or {name: getattr(module, name, None) for name in SIZES}  # type: ignore[misc]  # None is refused below
    if not all(isinstance(size, int) for size in sizes.values()):
        raise Fault(
            f"{type(module).__name__} does not say its sizes",
            expected="attributes `input_size` and `hidden_size`, or the class instead of an instance",
            where=place_of(type(module)),
        )
    first: Fault | None = None
    for states, form in _forms(module, like):
        cell = ModuleCell(module, **sizes, states=states, form=form)
        try:
            with torch.no_grad():
                result = copy.deepcopy(cell).call(
                    torch.ones(BATCH, cell.input_size), [torch.ones(BATCH, cell.hidden_size)] * states
                )
        except Exception as error:
            taken = {"tensor": "hx", "tuple": f"({'hidden, cell' if states == 2 else 'hidden,'})", "several": "*states"}
            call = f"`forward(input, {taken[form]})`"
            first = first or broken(type(module), f"{call} raised {describe_error(error)}", error, expected=FORWARD)
        else:
            if like is not None or _fits(result, states):
                return cell
            first = first or Fault(
                "what `forward` returns is not understood", expected=FORWARD, where=place_of(type(module).forward)
            )
    raise first or Fault(
        f"`forward` of {type(module).__name__} takes no state", expected=OR_CELL, where=place_of(type(module).forward)
    )


def _fits(result: Any, states: int) -> bool:
    read = read_result(result, states)
    return isinstance(read, tuple) and len(read) == 2 and isinstance(read[1], list) and len(read[1]) == states


def _forms(module: nn.Module, like: str | None) -> Iterator[tuple[int, Form]]:
    """How many states there may be, and how `forward` may take them, the likeliest first."""
    parameters = inspect.signature(module.forward).parameters.values()
    taken = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
    counts = {"lstm": (2,), "gru": (1,), "rnn": (1,)}.get(like or "", (1, 2))
    if taken < 2 and not any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return
    for count in counts:
        if count == 1:
            yield 1, "tensor"
            yield 1, "tuple"
        elif taken > 2:
            yield count, "several"
            yield count, "tuple"
        else:
            yield count, "tuple"


def broken(kind: type, message: str, error: BaseException, expected: str = "") -> Fault:
    """The fault that the user's code raised an error, with the place in the user's file."""
    return Fault(message, expected=expected, where=find_frame(error, source_file(kind)) or place_of(kind))


def describe_error(error: BaseException) -> str:
    """An error in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _place(thing: Any) -> str:
    return place_of(type(thing))
