"""From what the user gives to a cell that can be checked: a class is made, a plain module wrapped."""

from __future__ import annotations

import copy
import inspect
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from seqsum.check.adapter import Form, ModuleCell, read_result
from seqsum.check.constructing import DIVISIBLE, SIZES, broken, describe_error, make
from seqsum.check.equations.reference import REFERENCES
from seqsum.check.places import find_line, place_of
from seqsum.check.result import USER_ERRORS, Fault
from seqsum.check.subject import BATCH, LARGE, STEPS, Subject, draw, dtype_of
from seqsum.recurrent import Recurrent, RecurrentCell
from seqsum.recurrent.cells import Constants, list_constants, require_cell
from seqsum.recurrent.explain import describe
from seqsum.recurrent.unregistered import computed_by_hooks

FORWARD = (
    "`forward(input, hx)` for one step, with an input (B, F) and the state, which comes as a tensor (B, H) or as a "
    "tuple (hidden, cell) of two, that returns the new hidden state or (hidden, cell)"
)
# names of parameters of `forward`
STATE = r"(prev_|last_)?([chs]|hidden|cell|state|memory)(_?(x|t|0|prev|last|old|state|tm1))?s?"
INPUT = r"x(_?t)?s?|in|inp|inputs?(_?t)?|obs|feats?|features?"
END = sys.maxsize  # how far `forward` came that returned
OR_CELL = f"a RecurrentCell with `project` and `step`, or a module with {FORWARD}"


def make_subject(given: Any, like: str | None, constants: Constants | None = None) -> Subject:
    """The cell to check, from an instance or a class, with the constants that its caller gives.

    Raises:
        Fault: It can't be made, or is no cell.
    """
    if not isinstance(given, type):
        return _make_subject(given, given, {}, like, constants)
    try:
        subject = _make_subject(given, make(given), SIZES, like, constants)
        _run_once(subject.cell, subject.given)
        return subject
    except USER_ERRORS as error:
        with suppress(*USER_ERRORS):  # sizes were not its fault
            other = _make_subject(given, make(given, DIVISIBLE), DIVISIBLE, like, constants)
            _run_once(other.cell, other.given)
            why = error.message if isinstance(error, Fault) else describe_error(error)
            other.remark = f"and run with {_named(DIVISIBLE)}, but not with {_named(SIZES)}: {why}"
            return other
    return _make_subject(given, make(given), SIZES, like, constants)  # its checks, or a fault, will tell what is wrong


def _named(sizes: dict[str, int]) -> str:
    return " and ".join(f"{name}={size}" for name, size in sizes.items())


def _make_subject(
    given: Any, made: Any, sizes: dict[str, int], like: str | None, constants: Constants | None
) -> Subject:
    """The cell to check: `made` from the class `given` with `sizes`, or the instance `given` itself, with its own."""
    if not isinstance(made, nn.Module):
        raise Fault(
            f"{describe(made)} is no nn.Module", expected=OR_CELL, came=repr(made)[:80], where=place_of(type(made))
        )
    if isinstance(made, nn.RNNBase | Recurrent):
        instead = "its cell, `layer.cells[0]`" if isinstance(made, Recurrent) else "torch.nn's cell of the same name"
        raise Fault(f"{type(made).__name__} is a layer, which takes whole sequences, and no cell", expected=instead)
    made = _copy(made)
    if isinstance(made, RecurrentCell) or (hasattr(made, "step") and hasattr(made, "project")):
        _require_contract(made)
        others = _list_constants(made, constants)
        cell: RecurrentCell = cast(RecurrentCell, made) if others else _handy(made)
    else:
        cell = wrap(made, like, sizes)
        others = _list_constants(cell, constants)
    is_class = isinstance(given, type)
    return Subject(cell, like, partial(resize, given if is_class else cell, cell, others), others, is_class)


def _list_constants(cell: Any, constants: Constants | None) -> list[Tensor | None]:
    tensors = [constants] if isinstance(constants, Tensor) else constants or ()
    rows = next((tensor.shape[:1] for tensor in tensors if isinstance(tensor, Tensor)), (1,))
    try:
        return list_constants(cell, constants, rows)
    except ValueError as error:
        expected = (
            "`check_cell(cell, constants=…)` with what a layer is given, (B, …) each, for the cells that take some"
        )
        raise Fault(str(error), expected=expected, where=place_of(type(cell))) from error


def _copy(module: nn.Module) -> nn.Module:
    """A copy on the CPU; what is given stays as it is."""
    known: dict[int, Any] = {}  # copies of what deepcopy does not take
    for part in module.modules():
        computed = computed_by_hooks(part)
        for name, value in vars(part).items():
            if name in computed and isinstance(value, Tensor):
                known[id(value)] = value.detach().clone()
            elif isinstance(value, Tensor) and not value.is_leaf:
                raise Fault(
                    f"`self.{name}` is computed from parameters once, when the cell is made",
                    expected="the parameter itself in `__init__`, and what is computed from it in the step: else it is "
                    "never trained",
                    came="a tensor that is the result of an operation",
                    where=find_line(vars(type(part)).get("__init__"), rf"self\.{name}\b") or place_of(type(part)),
                )
    try:
        return copy.deepcopy(module, known).cpu()
    except USER_ERRORS as error:  # of whatever it holds
        raise broken(
            type(module), f"it can't be copied: {describe_error(error)}", error, "modules and tensors"
        ) from error


def resize(
    given: Any, cell: RecurrentCell, constants: Sequence[Tensor | None], input_size: int, hidden_size: int
) -> RecurrentCell:
    """A cell of the same kind with other sizes; where it can't be made or run with the constants, a copy as it is."""
    sizes = {"input_size": input_size, "hidden_size": hidden_size}
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        with suppress(*USER_ERRORS):  # one that can't be made again is taken as it is
            made = make(given, sizes) if isinstance(given, type) else given.like(input_size, hidden_size=hidden_size)
            if isinstance(cell, ModuleCell):
                made = ModuleCell(made, **sizes, states=len(cell.state_size), form=cell.form)
            _run_once(made, constants)
            if (made.input_size, made.hidden_size) == (input_size, hidden_size):
                return made
    return copy.deepcopy(cell)


@torch.no_grad()
def _run_once(cell: RecurrentCell, constants: Sequence[Tensor | None] = ()) -> list[Tensor]:
    """Run a step in evaluation with the user's constants, if any; return the output and the states."""
    cell = copy.deepcopy(cell).eval()
    dtype = dtype_of(cell)
    rows = next((len(tensor) for tensor in constants if tensor is not None), BATCH)
    inputs = draw((rows, cell.input_size), 0).to(dtype)
    state = [draw((rows, size), 1).to(dtype) for size in cell.state_size]
    output, states = cell.step(cell.project(inputs), state + cell.constants(rows, inputs, None, *constants))
    return [output, *states]


def _require_contract(cell: nn.Module) -> None:
    try:
        require_cell(cell)
    except TypeError as error:
        raise Fault(str(error), expected="a subclass of seqsum.RecurrentCell", where=place_of(type(cell))) from error


def _handy(cell: Any) -> RecurrentCell:
    """The cell, made again with small sizes where it is large or two of its blocks of weights have the same shape.

    But as it is, if more than sizes and weights make it what it is, such as an attribute that was set later.
    """
    sizes = cell.input_size, cell.hidden_size
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        return cast("RecurrentCell", cell)  # the check of sizes says so
    confusing = cell.input_size % cell.hidden_size == 0 or cell.hidden_size % cell.input_size == 0
    if (confusing or cell.hidden_size > LARGE) and _is_told_by_weights(cell):
        for smaller in (SIZES, DIVISIBLE):
            made = resize(cell, cell, (), **smaller)
            if made.hidden_size == smaller["hidden_size"]:
                return made
    return cast("RecurrentCell", cell)


def _is_told_by_weights(cell: RecurrentCell) -> bool:
    """Whether one that is made anew computes the same with the same weights, and no NaN."""
    with torch.random.fork_rng(devices=[]), suppress(*USER_ERRORS):  # it can't be made anew, or run
        twin = cell.like(cell.input_size, hidden_size=cell.hidden_size)
        twin.load_state_dict(cell.state_dict())
        return all(map(torch.equal, _run_once(cell), _run_once(twin)))
    return False


def wrap(module: nn.Module, like: str | None, sizes: dict[str, int]) -> ModuleCell:
    """A plain module in an adapter, by the first form of its state that it runs with."""
    sizes = sizes or {name: getattr(module, name, None) for name in SIZES}  # type: ignore[misc]  # None is refused below
    if not all(isinstance(size, int) for size in sizes.values()):
        raise Fault(
            f"{type(module).__name__} does not say its sizes",
            expected="attributes `input_size` and `hidden_size`, or the class instead of an instance",
            where=place_of(type(module)),
        )
    faults: list[tuple[int, Fault]] = []  # of each form, with how far it came
    for states, form in _forms(module, like):
        cell = ModuleCell(module, **sizes, states=states, form=form)
        try:
            with torch.no_grad():
                made = (p for p in module.parameters() if p.is_floating_point() and not is_lazy(p))
                ones = next(made, torch.ones(())).new_ones
                state = [ones(BATCH, cell.hidden_size)] * states
                result = copy.deepcopy(cell).call(ones(BATCH, cell.input_size), state)
        except USER_ERRORS as error:
            taken = {"tensor": "hx", "tuple": f"({'hidden, cell' if states == 2 else 'hidden,'})", "several": "*states"}
            call = f"`forward(input, {taken[form]})`"
            fault = broken(type(module), f"{call} raised {describe_error(error)}", error, expected=FORWARD)
            faults.append((_reached(error, module), fault))
        else:
            if like is not None or _fits(result, states):
                return cell
            where = place_of(type(module).forward)
            message = "what `forward` returns is not understood"
            faults.append((END, Fault(message, expected=FORWARD, came=_told(result), where=where)))
    if like is not None and faults:
        _require_states(module, like, sizes)
    _require_one_step(module, sizes)
    if faults:
        raise max(faults, key=lambda found: found[0])[1]  # the form that was meant comes farthest
    where = place_of(type(module).forward)
    raise Fault(f"`forward` of {type(module).__name__} takes no state behind the input", expected=OR_CELL, where=where)


def _reached(error: BaseException, module: nn.Module) -> int:
    """The line of `forward` in which an error arose; 0 if it could not be called."""
    code = getattr(inspect.unwrap(type(module).forward), "__code__", None)
    lines = (line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code is code)
    return max(lines, default=0)


def _require_one_step(module: nn.Module, sizes: dict[str, int]) -> None:
    """Say so, where `forward` takes whole sequences, (T, B, F) or (B, T, F)."""
    inputs = torch.ones(STEPS, BATCH, sizes["input_size"])
    changed = inputs.clone()
    changed[0, 0] += 1
    outputs: list[Any] = []
    with torch.no_grad(), suppress(*USER_ERRORS):  # it takes something else
        results = [copy.deepcopy(module).eval()(given) for given in (inputs, changed)]
        outputs = [result[0] if isinstance(result, tuple | list) else result for result in results]
    if [tuple(output.shape[:2]) for output in outputs if isinstance(output, Tensor)] != [(STEPS, BATCH)] * 2:
        return
    one, other = outputs
    if not torch.equal(one.flatten(0, 1)[1:], other.flatten(0, 1)[1:]):  # steps have to do with each other
        raise Fault(
            f"{type(module).__name__} takes whole sequences, and no single step",
            expected=f"the cell inside it, with {FORWARD}",
            came=f"{describe(one)} for an input of shape {tuple(inputs.shape)}",
            where=place_of(type(module).forward),
        )


def _require_states(module: nn.Module, like: str, sizes: dict[str, int]) -> None:
    """Say so, where it is a cell with another number of states than the reference's."""
    try:
        states = len(wrap(module, None, sizes).state_size)
    except Fault:
        return  # it is no cell in any form
    raise Fault(
        f"it has another number of states than {REFERENCES[like].article}",
        expected=REFERENCES[like].states_listed,
        came=f"{states}, by what `forward` takes and returns",
        where=place_of(type(module).forward),
    )


def _told(result: Any) -> str:
    """What was returned, in a few words, with what is in it."""
    parts = f": {', '.join(map(describe, result))}" if isinstance(result, tuple | list) else ""
    return describe(result) + parts


def _fits(result: Any, states: int) -> bool:
    read = read_result(result, states)
    return isinstance(read, tuple) and len(read) == 2 and isinstance(read[1], list) and len(read[1]) == states


def _forms(module: nn.Module, like: str | None) -> Iterator[tuple[int, Form]]:
    """How many states there may be, and how `forward` may take them, the likeliest first."""
    try:
        parameters = list(inspect.signature(module.forward).parameters.values())
    except ValueError as error:  # of what TorchScript has compiled
        compiled = isinstance(module, torch.jit.ScriptModule)
        raise Fault(
            "a `torch.jit.ScriptModule` can't be looked into"
            if compiled
            else f"{type(module).__name__} has no signature to read",
            expected="`nn.Module`, and no `@torch.jit.script_method`" if compiled else OR_CELL,
            came=str(error),
        ) from error
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    taken, required = len(positional), sum(p.default is p.empty for p in positional)
    first, *others = [p.name for p in positional if p.default is p.empty] or [""]
    if re.fullmatch(STATE, first) and (inputs := [name for name in others if re.fullmatch(INPUT, name)]):
        raise Fault(
            f"`forward` takes the input first, and yours has `{first}` before `{inputs[0]}`",
            expected=f"`forward(self, {inputs[0]}, …)`, with the state behind the input",
            came=f"`forward({', '.join([first, *others])})`",
            where=place_of(type(module).forward),
        )
    counts = (1, 2) if like is None else (len(REFERENCES[like].states),)
    if taken < 2 and not any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return
    for count in counts:
        if count == 1:
            yield 1, "tensor"
            yield 1, "tuple"
        elif taken > 2:  # a third one that may be left out, such as a mask, is no state
            yield from ((count, form) for form in (("several", "tuple") if required != 2 else ("tuple", "several")))
        else:
            yield count, "tuple"
