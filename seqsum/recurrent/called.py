"""Finds the functions that TorchScript compiles for a cell: its step's, and all that these call."""

from __future__ import annotations

from functools import cache
from types import CellType, FunctionType, ModuleType
from typing import Any, NamedTuple

import torch
from torch import nn

from seqsum.recurrent.cells import RecurrentCell
from seqsum.recurrent.kernels.written_for import METHODS


class Place(NamedTuple):
    """Where a function is looked up.

    Attributes:
        owner: The class for which it is compiled.
        holder: The class itself, a module, the globals of one, or the cell of an enclosing function's variable.
        name: Of the function.
    """

    owner: type
    holder: Any
    name: str

    @property
    def key(self) -> tuple[type, int, str]:
        """Identifies the place; not by the holder itself, since globals may hold tensors, which can't be compared."""
        return self.owner, id(self.holder), self.name


def kinds_of(cell: nn.Module) -> frozenset[type]:
    """The classes of a cell and its parts, such as the cell that it wraps: together they decide what is compiled."""
    return frozenset(map(type, cell.modules()))


@cache
def called_by(kinds: frozenset[type]) -> list[Place]:
    """Find the places of all Python functions that TorchScript compiles for a cell, those of torch left out.

    They are the methods of a step, and the methods, properties and functions that these call. Numbers that they read
    from modules and enclosing functions count too.

    Args:
        kinds: See `kinds_of`.
    """
    found: dict[Any, Place] = {}
    todo: list[Place] = []
    for kind in kinds:
        first = METHODS if issubclass(kind, RecurrentCell) else (*METHODS, "forward")
        todo += [Place(kind, kind, name) for name in first]
    while todo:
        place = todo.pop()
        function = function_of(look_up(place.holder, place.name))
        is_number = isinstance(function, bool | int | float | str) and isinstance(place.holder, ModuleType | CellType)
        if is_number or isinstance(function, torch.jit.ScriptFunction):
            found[place.key] = place
        if not isinstance(function, FunctionType) or _is_of_torch(function.__module__) or place.key in found:
            continue
        found[place.key] = place
        todo += [Place(place.owner, cell, "cell_contents") for cell in function.__closure__ or ()]
        for called in function.__code__.co_names:
            known = function.__globals__.get(called)
            if isinstance(known, ModuleType) and not _is_of_torch(known.__name__):
                todo += [Place(place.owner, known, of_module) for of_module in function.__code__.co_names]
            todo += [Place(kind, kind, called) for kind in kinds]
            todo.append(Place(place.owner, function.__globals__, called))
    return list(found.values())


def function_of(found: Any) -> Any:
    """Return the function of a property, and anything else as it is."""
    return found.fget if isinstance(found, property) else found


def _is_of_torch(module: str | None) -> bool:
    return (module or "").partition(".")[0] == "torch"


def look_up(holder: Any, name: str) -> Any:
    """Return what is there now at a place; None if nothing is."""
    try:
        return holder.get(name) if isinstance(holder, dict) else getattr(holder, name, None)
    except ValueError:  # the variable of an enclosing function has no value yet
        return None
