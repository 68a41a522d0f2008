"""A plain module with the signature of torch.nn's cells, as a `RecurrentCell`.

Many write `forward(input, hx) -> hidden` or `forward(input, (hidden, cell)) -> (hidden, cell)`. Each of these forms is
understood, whether the states come as one argument or as several:

    hidden · (hidden, cell) · (output, state) · (output, (hidden, cell)) · (output, hidden, cell)

A state may also be a NamedTuple or a dataclass of tensors, if `forward` is annotated with it.
"""

from __future__ import annotations

import dataclasses
import inspect
from contextlib import suppress
from typing import Any, Literal, get_type_hints

from torch import Tensor, nn

from seqsum.recurrent import RecurrentCell

Form = Literal["tensor", "tuple", "several"]  # how `forward` takes the state


class ModuleCell(RecurrentCell):
    """Runs a plain module as a cell: all of it is the step, and `project` hands the input on.

    Args:
        module: The user's, with `forward(input, state…)`.
        input_size, hidden_size: `F`, `H`.
        states: Tensors in its state.
        form: How `forward` takes them.
    """

    def __init__(self, module: nn.Module, input_size: int, hidden_size: int, states: int, form: Form) -> None:
        super().__init__(input_size, hidden_size, state_size=[hidden_size] * states)
        self.state_names = ("hidden", "cell", *(f"state_{k}" for k in range(2, states)))[:states]
        self.module = module
        self.form = form
        self.kind_of_state = _kind_of_state(module)

    def project(self, input: Tensor) -> Tensor:
        """The input itself."""
        return input

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """What `forward` gives, as output and state; as it is where it can't be understood."""
        return read_result(self.call(projected, state), len(state))

    @property
    def begins_itself(self) -> bool:
        """Whether `forward` may be called without a state."""
        _, *states = inspect.signature(self.module.forward).parameters.values()
        return all(state.default is not state.empty for state in states)

    def begin(self, input: Tensor) -> Any:
        """What `forward` gives without a state, as output and state, see `step`."""
        return read_result(self.module(input), len(self.state_size))

    def call(self, input: Tensor, state: list[Tensor]) -> Any:
        """The module's own result."""
        if self.form == "several":
            return self.module(input, *state)
        if self.form == "tensor":
            return self.module(input, state[0])
        kind = self.kind_of_state
        return self.module(input, tuple(state) if kind is None else kind(*state))


def users_name(name: str) -> str:
    """The user's name of a weight or part of a `ModuleCell`."""
    return name.removeprefix("module.")


def _kind_of_state(module: nn.Module) -> type | None:
    """The NamedTuple or dataclass that `forward` is annotated with for its state; None for a tuple."""
    with suppress(NameError, TypeError, AttributeError):  # an annotation may be a text that names nothing
        hints = get_type_hints(module.forward)
        _, state, *_ = inspect.signature(module.forward).parameters
        kind = hints.get(state)
        if isinstance(kind, type) and (hasattr(kind, "_fields") or dataclasses.is_dataclass(kind)):
            return kind
    return None


def _unpacked(result: Any) -> Any:
    """A dataclass as a tuple of what it holds; anything else as it is."""
    if dataclasses.is_dataclass(result) and not isinstance(result, type):
        return tuple(getattr(result, field.name) for field in dataclasses.fields(result))
    return result


def read_result(result: Any, states: int) -> Any:
    """The output and the list of states in what `forward` returned; the same thing where it is none of the forms."""
    result = _unpacked(result)
    if isinstance(result, tuple | list):
        result = tuple(map(_unpacked, result))
    if isinstance(result, Tensor):
        return (result, [result]) if states == 1 else result
    if not isinstance(result, tuple | list) or not result:
        return result
    output, *rest = result
    if len(rest) == 1 and isinstance(rest[0], tuple | list):  # (output, (hidden, cell))
        return output, list(rest[0])
    if len(rest) == states and all(isinstance(part, Tensor) for part in rest):  # (output, hidden, cell)
        return output, rest
    if len(result) == states and all(isinstance(part, Tensor) for part in result):  # (hidden, cell)
        return output, list(result)
    return result
