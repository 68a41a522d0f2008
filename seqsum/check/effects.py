"""A step changes nothing but what it returns: nothing in place, nothing that is kept, no chance in evaluation."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from seqsum.chance import HostChance
from seqsum.check.adapter import ModuleCell
from seqsum.check.constructing import describe_error
from seqsum.check.registry import check
from seqsum.check.result import USER_ERRORS, Fault
from seqsum.check.subject import BATCH, Subject
from seqsum.recurrent.cells.weights import NOT_THE_CELLS_OWN
from seqsum.recurrent.explain import wrong_result
from seqsum.recurrent.scripting import frozen

TIMES = 200  # steps of a cell that draws random numbers in evaluation
ROUNDING = 1e-5  # of one step in float32


@check("nothing is changed in place", needs=("step_returns",))
def changes_nothing(subject: Subject) -> None:
    """`project` and `step` leave inputs, states and weights as they were, in training too."""
    _leave_all(subject, training=False)
    _leave_all(subject, training=True)


def _leave_all(subject: Subject, training: bool) -> None:
    cell = subject.fresh().train(training)
    inputs, state = subject.inputs(BATCH), subject.state()
    with torch.no_grad():
        projected = cell.project(inputs)
        given = {"the input": inputs, "`projected`": projected}
        given |= {f"`state[{k}]`, {name}": s for k, (name, s) in enumerate(zip(cell.state_names, state, strict=False))}
        given |= {f"the weight `{name}`": parameter for name, parameter in cell.named_parameters()}
        before = {name: tensor.clone() for name, tensor in given.items()}
        cell.step(projected, list(state))
    for name, tensor in given.items():
        both_nan = tensor.isnan() & before[name].isnan()  # "results are finite" tells of these
        changed = (tensor != before[name]) & ~both_nan
        if changed.any():
            calls = subject.culprits(in_place=True, training=training)
            raise Fault(
                f"{name} is changed in place{' in training' if training else ''}",
                expected="new tensors: whoever holds the old ones, such as the backward pass, still needs them",
                came=f"{before[name][changed][0].item():.4f} became {tensor[changed][0].item():.4f}",
                example=f"one step on {BATCH} rows",
                where=calls[0].where if calls else subject.where(),
            )


def _first(tensor: Tensor) -> str:
    return f"{tensor.flatten()[0].item():.4f}"


@check("evaluation is deterministic", needs=("step_returns", "finite"))
@torch.no_grad()
def deterministic(subject: Subject) -> None:
    """In evaluation the same input and state give the same result, also after other steps, or if those came first."""
    cell = subject.fresh()
    inputs, other = subject.inputs(BATCH), subject.inputs(BATCH, seed=5)
    before, chance = _plain(cell), HostChance()
    first, again = _run_step(cell, inputs, subject.state()), _run_step(cell, inputs, subject.state())
    draws = chance.has_moved()
    _run_step(cell, other, subject.state(seed=7))
    after = _run_step(cell, inputs, subject.state())
    kept = [name for name, value in _plain(cell).items() if name not in before or before[name] != value]
    if draws and not kept:  # what is random once in a hundred steps is so as well
        rest = (_run_step(cell, inputs, subject.state()) for _ in range(TIMES))
        again = next((result for result in rest if not _close(first, result)), again)
    twin = subject.fresh()
    _run_step(twin, other, subject.state(seed=7))
    not_first = _run_step(twin, inputs, subject.state())
    for came, example in (
        (again, "the same step twice"),
        (after, "the same step before and after another one"),
        (not_first, "the same step of two copies of the cell, one of which made another one first"),
    ):
        if _close(first, came):
            continue
        if kept:
            message = f"the cell remembers something from one call to the next: `self.{kept[0]}`"
            expected = "what is remembered is in the state, which is given and returned"
            where = subject.find_in_step(rf"\b{kept[0]}\b")
        elif not chance.has_moved():
            message = "the cell remembers something from one call to the next, outside of itself"
            expected = "what is remembered is in the state, which is given and returned, not in a class or a global"
            where = subject.find_in_step(r"global|append|\b[A-Z_]{2,}\b|type\(self\)|__class__")
        else:
            message, expected = "a step is random in evaluation", "dropout and noise only `if self.training`"
            where = subject.find_in_step(r"drop|rand|noise|bernoulli")
        raise Fault(
            message,
            expected=expected,
            came=f"results that differ by up to {(first - came).abs().max().item():.3g}",
            example=example,
            where=where or subject.where(),
        )


@check("sequences begin alike", needs=("deterministic",))
def begins_alike(subject: Subject) -> None:
    """The initial state is the same each time; a plain module given none makes one for any number of rows."""
    cell = subject.fresh()
    if not isinstance(cell, ModuleCell):
        _require_same_start(subject, cell)
    elif cell.begins_itself:
        _require_start_of_its_own(subject)


@torch.no_grad()
def _require_same_start(subject: Subject, cell: Any) -> None:
    inputs, chance = subject.inputs(BATCH), HostChance()
    begun, *others = (_begin(cell, inputs) for _ in range(2))
    if chance.has_moved():
        others += [_begin(cell, inputs) for _ in range(TIMES)]
    different = next((other for other in others if not _close(begun, other)), None)
    if different is not None:
        raise Fault(
            "the initial state is random in evaluation",
            expected="the same states at the start of every sequence: zeros, or learned ones",
            came=f"states that differ by up to {(begun - different).abs().max().item():.3g}",
            example="`initial_state` twice",
            where=subject.find_in(("initial_state",), "rand|normal") or subject.where("initial_state"),
        )


def _require_start_of_its_own(subject: Subject) -> None:
    """Call a plain module without a state: the result is that from zeros, or from a state that it learns."""
    expected = "zeros for each row, such as `input.new_zeros(len(input), hidden_size)`"
    cell = cast("ModuleCell", subject.as_made())  # one for all: it may keep what it made first
    for rows in (BATCH, 1, 2 * BATCH + 1):
        example = f"`forward(input)` of {rows} row{'' if rows == 1 else 's'}"
        inputs = subject.inputs(rows).to(subject.made_in)
        sizes = [(rows, cell.hidden_size)] * (1 + len(cell.state_size))
        try:
            results = [cell.begin(inputs) for _ in range(2)]
        except USER_ERRORS as error:
            message = f"`forward` without a state raised {describe_error(error)}"
            where = subject.place_in(error) or subject.where()
            raise Fault(message, expected=expected, example=example, where=where) from error
        for result in results:
            came = wrong_result(result, len(cell.state_size))
            if came is None and (shapes := [tuple(tensor.shape) for tensor in (result[0], *result[1])]) != sizes:
                came = f"tensors of {', '.join(map(str, shapes))}"
            if came is not None:
                message = "`forward` without a state gives something else than with one"
                raise Fault(message, expected=expected, came=came, example=example, where=subject.where())
        begun, again, from_zeros = map(_in_a_row, (*results, cell.step(inputs, cell.initial_state(rows, inputs))))
        if not torch.allclose(begun, again, atol=ROUNDING):
            raise Fault(
                "a sequence begins from another state each time",
                expected=expected,
                came=f"results that differ by up to {(begun - again).abs().max().item():.3g}",
                example=f"{example}, twice",
                where=subject.find_in_step("rand|normal") or subject.where(),
            )
        if not torch.allclose(begun, from_zeros, atol=ROUNDING):
            learned = subject.parameters_of_the_start()
            difference = (begun - from_zeros).abs().max().item()
            raise Fault(
                "sequences begin from learned states" if learned else "a sequence begins from other numbers than zero",
                expected=expected,
                came=f"results that differ from those with zeros by up to {difference:.3g}",
                example=example,
                where=subject.find_in_step("is None") or subject.where(),
                status="noted" if learned or subject.like is None else "failed",
            )


def _in_a_row(result: tuple[Tensor, list[Tensor]]) -> Tensor:
    output, states = result
    return torch.cat([output.flatten(), *(state.flatten() for state in states)])


def _begin(cell: Any, inputs: Tensor) -> Tensor:
    return torch.cat([inputs[:, :0], *cell.initial_state(len(inputs), inputs)], dim=1)


def _close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, atol=1e-12, rtol=0)


def _run_step(cell: Any, inputs: Tensor, state: list[Tensor]) -> Tensor:
    """All that one step returns, in a row."""
    return _in_a_row(cell.step(cell.project(inputs), state))


def _plain(cell: Any) -> dict[str, Any]:
    """What the cell and its parts hold beside parameters and modules, by name, as it is now."""
    found: dict[str, Any] = {}
    for module in cell.modules():
        for name, value in [*vars(module).items(), *module.named_buffers(recurse=False)]:
            if name not in NOT_THE_CELLS_OWN and not isinstance(value, nn.Module):
                found[name] = frozen(value, numbers_in)
    return found


def numbers_in(value: Any) -> Any:
    """The numbers of a tensor or an array; of any other object, which one it is."""
    if isinstance(value, Tensor) and value.layout == torch.strided:
        return value.detach().cpu().numpy().tobytes(), tuple(value.shape)
    if isinstance(value, np.ndarray):
        return value.tobytes(), value.shape
    return frozen(value)
