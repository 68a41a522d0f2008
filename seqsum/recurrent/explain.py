"""What a user did wrong in a cell of their own, in words, where torch would show its insides."""

from __future__ import annotations

import inspect
import re
from typing import Any

import torch
from torch import Tensor

from seqsum.recurrent.cells import RecurrentCell
from seqsum.recurrent.cells.base import SEVERAL

SIGNATURE = "def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]"


def say_check(kind: type) -> str:
    """How to learn what is wrong with a cell of one's own."""
    return f"`python -m seqsum.check {kind.__module__}.{kind.__qualname__}` says what is wrong with the cell"


def check_step_result(cell: RecurrentCell, result: Any, given: int) -> None:
    """Raise a TypeError unless `step` has returned a tensor and as many states as it was given.

    Args:
        cell: Whose step it was.
        result: What it returned.
        given: States and constants before the step.
    """
    if (wrong := wrong_result(result, given)) is not None:
        name, count = type(cell).__name__, f"{given} tensor{'s' if given > 1 else ''}"
        raise TypeError(f"`step` of {name} must return (output, state), a tensor and a list of {count}, not {wrong}")


def wrong_result(result: Any, given: int) -> str | None:
    """What `step` returned, in words, if that is not `(output, state)`; else None."""
    if not isinstance(result, SEVERAL):
        return describe(result)
    if len(result) != 2:
        return f"{len(result)} values: {', '.join(map(describe, result))}"
    output, state = result
    if not isinstance(output, Tensor):
        return f"{describe(output)} as the output"
    if isinstance(state, Tensor) or not isinstance(state, SEVERAL):
        return f"{describe(state)} as the state"
    if not all(isinstance(part, Tensor) for part in state):
        return f"a state of {', '.join(map(describe, state))}"
    if len(state) != given:
        return f"a state of {len(state)} tensor{'' if len(state) == 1 else 's'}"
    return None


@torch.no_grad()
def wrong_shapes(cell: RecurrentCell, inputs: Tensor, state: list[Tensor]) -> str | None:
    """Explain that `step` returns states of other shapes than it is given, which the next step can't read; else None.

    Runs a step again, since only its result shows it.
    """
    try:
        result = cell.step(cell.project(inputs)[0], list(state))
    except Exception:  # the step itself fails, and its error says more
        return None
    if wrong_result(result, len(state)) is not None:
        return None
    given, returned = ([tuple(s.shape) for s in some[: len(cell.state_size)]] for some in (state, result[1]))
    if given == returned:
        return None
    name = type(cell).__name__
    return f"`step` of {name} must return states of the shapes that it is given, {given}, not {returned}"


def describe(value: Any) -> str:
    """A value in a few words: `a tensor of shape (2, 5)`."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return "None" if value is None else f"a {type(value).__name__}"


def explain_compile_error(cell: RecurrentCell, error: Exception) -> str:
    """Why TorchScript can't compile a cell, in one sentence where the reason is known; else what TorchScript says."""
    message = str(error).strip()
    if not isinstance(error, RuntimeError):  # not about the cell, but about TorchScript
        return message
    if (missing := unannotated_state(cell)) is not None:
        return missing
    if "cannot be used as a tuple" in message:
        return f"`step` must return (output, state): write `{SIGNATURE}`"
    if re.search(r"\bsuper\(\)[^\n]*\n[^\n]*<--- HERE", message):
        return "it knows no `super()`"
    return message


def unannotated_state(cell: RecurrentCell) -> str | None:
    """What to annotate in `step` for TorchScript, which takes what has no annotation for a tensor; None if nothing."""
    parameters = list(inspect.signature(cell.step).parameters.values())
    if len(parameters) < 2:
        return None
    state = parameters[1]
    if state.annotation is inspect.Parameter.empty:
        return f"the state of its `step` has no type: annotate `{state.name}: list[Tensor]`"
    annotation = state.annotation if isinstance(state.annotation, str) else repr(state.annotation)
    if "list" in annotation.lower():
        return None
    return f"the state of its `step` is a list of tensors: annotate `{state.name}: list[Tensor]`, not `{annotation}`"
