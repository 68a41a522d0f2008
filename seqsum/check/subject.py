"""The cell that is checked: made, copied, and run, with the places in its source to point at."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from types import CodeType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from seqsum.check.adapter import ModuleCell, users_name
from seqsum.check.places import find_frame, find_line, is_library, place_of, source_file
from seqsum.check.result import USER_ERRORS
from seqsum.check.watch import Call, functions_of_users, watch
from seqsum.recurrent import RecurrentCell
from seqsum.recurrent.alike import real_weight, to_type

INPUT_SIZE, HIDDEN_SIZE, BATCH, STEPS = 7, 5, 3, 4  # no two blocks of weights have the same shape with these
LARGE = 32  # a cell with more units is made again, smaller


class Subject:
    """A cell under test.

    Attributes:
        cell: The cell, in evaluation and float64.
        original: The same as it was made.
        wrapped: Whether it is a plain module with the signature of torch.nn's cells, in an adapter.
        kind: The user's class.
        pictures: Numbers that the check at work leaves for the page.
        remark: On how it was made, if there is something to say.
        resize: Makes a cell of the same kind with other sizes, `(F, H)`, in float32.
        given: Constants that the cell takes from its caller, with any number of rows.
        is_class: Whether the user gave a class, and no instance, which may have been changed since it was made.
    """

    def __init__(
        self,
        cell: RecurrentCell,
        like: str | None,
        resize: Callable[[int, int], RecurrentCell],
        given: Sequence[Tensor | None] = (),
        is_class: bool = True,
    ) -> None:
        self.original = cell
        self.given = given
        self.is_class = is_class
        self.resize = resize
        self.pictures: dict[str, Any] = {}
        self.remark = ""
        self.like = like
        self.wrapped = isinstance(cell, ModuleCell)
        self.module: nn.Module = cell.module if isinstance(cell, ModuleCell) else cell
        self.kind = type(self.module)
        self._pristine = to_type(copy.deepcopy(cell), torch.float64).eval()
        if any(map(is_lazy, self._pristine.parameters())):
            self._make_lazy_weights()
        self._move_from_zero()
        self.renew()

    @torch.no_grad()
    def _make_lazy_weights(self) -> None:
        """Run the first step, which makes them."""
        cell, inputs = self._pristine, draw((BATCH, self._pristine.input_size), 0)
        with suppress(*USER_ERRORS):  # a finding of the checks
            cell.step(cell.project(inputs), [draw((BATCH, size), 1) for size in cell.state_size])

    @torch.no_grad()
    def _move_from_zero(self) -> None:
        """Give weights that begin at zero, as recurrent ones may, other values: zeros would hide what they do."""
        for number, weight in enumerate(self._pristine.parameters()):
            if not is_lazy(weight) and (weight.is_floating_point() or weight.is_complex()) and not weight.any():
                weight.copy_(0.1 * draw(weight.shape, 900 + number))

    def renew(self) -> None:
        """Take another copy, since a cell may keep something from one call to the next."""
        self.cell = self.fresh()

    @property
    def step_name(self) -> str:
        """What the user wrote a step in."""
        return "forward" if self.wrapped else "step"

    def fresh(self) -> RecurrentCell:
        """A copy in float64, in evaluation, that a check may spoil."""
        return copy.deepcopy(self._pristine)

    @property
    def made_in(self) -> torch.dtype:
        """The type that the cell was made in, which `torch.zeros(...)` in it may need."""
        return dtype_of(self.original)

    def as_made(self) -> RecurrentCell:
        """A copy as `fresh`, in the type that the cell was made in."""
        return to_type(self.fresh(), self.made_in)

    def parameters_of_the_start(self) -> set[str]:
        """Names of the parameters that no step reads, but what a sequence begins from."""
        cell, inputs = self.as_made(), self.inputs(BATCH).to(self.made_in)
        state = [draw((BATCH, size), 59).to(inputs) for size in cell.state_size]
        output, new = cell.step(cell.project(inputs), state + self.constants(cell, BATCH, inputs))
        return _reached(_begin(cell, inputs), cell) - _reached([output, *new], cell)

    def parameters_of_the_output(self) -> set[str]:
        """Names of the parameters that outputs depend on, and no state."""
        cell = self.fresh()
        output, new = cell.step(cell.project(self.inputs(BATCH)), self.state(cell=cell))
        return _reached([output], cell) - _reached(new, cell)

    def inputs(self, *shape: int, seed: int = 0) -> Tensor:
        """Random inputs `(…, F)` in float64."""
        return draw((*shape, self.cell.input_size), seed)

    def state(self, batch: int = BATCH, seed: int = 1, cell: RecurrentCell | None = None) -> list[Tensor]:
        """A random state, `(B, S)` each, and constants, of another copy of the cell if one is given."""
        states = [draw((batch, size), seed + 10 * k) for k, size in enumerate(self.cell.state_size)]
        return states + self.constants(cell or self.cell, batch, torch.zeros(1).double(), seed)

    def states(self, cell: RecurrentCell) -> list[list[Tensor]]:
        """A random state, and the initial one: a counter, for example, has no effect from most random ones."""
        like = torch.zeros(1).double()
        initial = [*cell.initial_state(BATCH, like), *self.constants(cell, BATCH, like, 1)]
        return [self.state(cell=cell), initial]

    def constants(self, cell: RecurrentCell, batch: int, like: Tensor, seed: int = 0) -> list[Tensor]:
        """The constants of a copy of the cell for so many rows."""
        return cell.constants(batch, like, None, *self.caller_gives(batch, like.dtype, seed))

    def caller_gives(self, batch: int, dtype: torch.dtype, seed: int = 0) -> list[Tensor | None]:
        """The constants that the cell takes from its caller, `(B, …)` each: rows of those given, drawn at random."""
        count = next((len(tensor) for tensor in self.given if tensor is not None), 1)
        rows = torch.randint(count, (batch,), generator=torch.Generator().manual_seed(seed))
        found = [None if tensor is None else tensor.cpu().detach()[rows] for tensor in self.given]
        return [tensor.to(dtype) if tensor is not None and tensor.is_floating_point() else tensor for tensor in found]

    def parameters(self) -> dict[str, nn.Parameter]:
        """The parameters of the cell by the user's names."""
        return {users_name(name) if self.wrapped else name: p for name, p in self.cell.named_parameters()}

    def where(self, method: str | None = None) -> str:
        """`file:line` of a method that the user wrote, by default of the step."""
        name = "forward" if self.wrapped and method != "__init__" else method or self.step_name
        found = getattr(self.kind, name, self.kind)
        if found is getattr(RecurrentCell, name, None):  # which the user's class has not written
            found = self.kind
        return place_of(found if callable(found) else self.kind)

    def find(self, pattern: str) -> str:
        """`file:line: code` of the first line that the user wrote for the cell which matches; "" if none does."""
        return self.find_in(list(self._methods), pattern) or _find_line(self.run_at_a_step, pattern)

    def find_in(self, methods: Sequence[str], pattern: str) -> str:
        """The same within methods of these names."""
        return _find_line([self._methods.get(name) for name in methods], pattern)

    def find_in_step(self, pattern: str) -> str:
        """The same within what runs at every step, then within all methods but those that make the cell."""
        making = ("__init__", "reset_parameters", "init_weights", "reset", "init_hidden", "initial_state")
        others = [method for name, method in self._methods.items() if name not in making]
        return _find_line([*self.run_at_a_step, *others], pattern)

    @cached_property
    def _methods(self) -> dict[str, Any]:
        """What the user's class has, then what it has from other classes that the user wrote."""
        files = {kind: source_file(kind) for kind in self.kind.__mro__}
        kinds = [kind for kind, file in files.items() if kind is self.kind or (file and not is_library(file))]
        found: dict[str, Any] = {}
        for kind in kinds:
            found |= {name: thing for name, thing in vars(kind).items() if name not in found}
        return found

    @cached_property
    def run_at_a_step(self) -> list[CodeType]:
        """The user's functions that run at every step, in the class or not: the step first, those of `project` last."""
        cell, inputs = self.fresh(), self.inputs(BATCH)
        projected = [inputs]
        with suppress(*USER_ERRORS):  # a finding of the checks
            projected = [cell.project(inputs)]
        ran = functions_of_users(lambda: cell.step(projected[0], self.state()))
        return list(dict.fromkeys([*ran, *functions_of_users(lambda: cell.project(inputs))]))

    def culprits(self, in_place: bool = False, training: bool = False) -> list[Call]:
        """What a step does that may break gradients, and where; only what works in place, or all else."""
        cell = self.fresh().train(training)
        inputs = self.inputs(BATCH).requires_grad_()
        calls = watch(lambda: cell.step(cell.project(inputs), self.state()))
        return [call for call in calls if call.in_place == in_place and not call.rounds]

    def roundings(self) -> list[Call]:
        """Where a step converts what is float64 to a type with fewer digits."""
        cell, inputs = self.fresh(), self.inputs(BATCH).requires_grad_()
        state = [each.requires_grad_(each.is_floating_point()) for each in self.state()]
        calls = watch(lambda: cell.step(cell.project(inputs), state))
        return [call for call in calls if call.rounds]

    def place_in(self, error: BaseException) -> str:
        """Where in the user's file an error arose, and the line that stands there; "" if not there."""
        return find_frame(error, source_file(self.kind))


def _find_line(things: Sequence[Any], pattern: str) -> str:
    return next((line for thing in things if (line := find_line(thing, pattern))), "")


def _begin(cell: RecurrentCell, inputs: Tensor) -> list[Tensor]:
    """The state that a sequence begins from; of a plain module given none, the result of its first step."""
    if not isinstance(cell, ModuleCell):
        return cell.initial_state(len(inputs), inputs)
    if cell.begins_itself:
        with suppress(*USER_ERRORS):  # a finding of `begins_alike`
            output, states = cell.begin(inputs)
            return [output, *states]
    return []


def _reached(results: Sequence[Tensor], cell: RecurrentCell) -> set[str]:
    """Names of the parameters that results depend on."""
    weights = {users_name(name): weight for name, weight in cell.named_parameters() if weight.requires_grad}
    total = sum(result.sum() for result in results if result.requires_grad)
    if not isinstance(total, Tensor) or not weights:
        return set()
    gradients = torch.autograd.grad(total, [*weights.values()], allow_unused=True, retain_graph=True)
    return {name for name, gradient in zip(weights, gradients, strict=True) if gradient is not None}


def dtype_of(module: nn.Module) -> torch.dtype:
    """The type of a module's weights; torch's default if it has none."""
    weight = real_weight(module, None)
    return torch.get_default_dtype() if weight is None else weight.dtype


def draw(shape: Sequence[int], seed: int) -> Tensor:
    """Normal random numbers in float64 that are the same in every run."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
