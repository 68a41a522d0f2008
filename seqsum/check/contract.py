"""What every cell must keep to, whatever it computes: sizes, shapes, types, what a step returns."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from seqsum.check.constructing import describe_error
from seqsum.check.recurrence import gap
from seqsum.check.registry import check
from seqsum.check.result import USER_ERRORS, Fault
from seqsum.check.subject import BATCH, STEPS, Subject, draw
from seqsum.recurrent import RecurrentCell
from seqsum.recurrent.explain import SIGNATURE, describe, unannotated_state, wrong_result

ROUNDING = 1e-9  # in float64


@check("sizes are whole numbers")
def sizes(subject: Subject) -> None:
    """`input_size`, `hidden_size`, `output_size` and `state_size` are numbers, and each state has a name."""
    cell = subject.cell
    wrong = {name: getattr(cell, name) for name in ("input_size", "hidden_size", "output_size")}
    wrong |= {f"state_size[{k}]": size for k, size in enumerate(cell.state_size)}
    for name, size in wrong.items():
        if not isinstance(size, int) or size < 1:
            raise Fault(
                f"`{name}` is no size",
                expected="a whole number above 0",
                came=repr(size),
                where=subject.where("__init__"),
            )
    names, count = tuple(cell.state_names), len(cell.state_size)
    if len(names) != count:
        more = len(names) > count
        raise Fault(
            "each state must have a size" if more else "each state must have a name",
            expected=_with_sizes(len(names))
            if more
            else f'`state_names = ("hidden", "cell", …)` with {count}, as `state_size` has',
            came=f"{len(names)} name{'s' if len(names) > 1 else ''}, {names}, for `state_size` {list(cell.state_size)}",
            where=subject.where("__init__"),
        )


def _with_sizes(count: int) -> str:
    """The first line of the constructor of a cell with so many states."""
    return f"`super().__init__(input_size, hidden_size, state_size=[{', '.join(['hidden_size'] * count)}])`"


@check("`project` keeps the leading axes", needs=("parameters_registered", "makes_no_weights"))
def projects(subject: Subject) -> None:
    """`project` takes `(T, B, F)` and gives `(T, B, …)`."""
    projected = subject.cell.project(subject.inputs(STEPS, BATCH))
    if not isinstance(projected, Tensor) or projected.shape[:2] != (STEPS, BATCH):
        raise Fault(
            "`project` must keep the axes of time and batch",
            expected=f"a tensor of shape ({STEPS}, {BATCH}, …)",
            came=describe(projected),
            example=f"`project(input)` with an input of shape {(STEPS, BATCH, subject.cell.input_size)}, (T, B, F)",
            where=subject.where("project"),
        )


@check("a step returns (output, state)", needs=("projects",))
def step_returns(subject: Subject) -> None:
    """`step` returns a tensor and a list of as many tensors as `state_size` says."""
    cell, state = subject.cell, subject.state()
    try:
        result = cell.step(cell.project(subject.inputs(BATCH)), state)
    except USER_ERRORS:
        _require_all_states(subject)
        raise
    if (wrong := wrong_result(result, len(state))) is None:
        return
    count = f"{len(cell.state_size)} state{'s' if len(cell.state_size) > 1 else ''}"
    if subject.wrapped:
        message, expected = "`forward` must return the new state", "`(hidden, cell)`" if len(state) > 1 else "`hidden`"
    else:
        message = "`step` must return (output, state)"
        constants = len(state) > len(cell.state_size)
        listed = ", ".join([*cell.state_names, *([f"*state[{len(cell.state_size)}:]"] if constants else [])])
        expected = f"`return output, [{listed}]`: a tensor and a list of {count}, as `state_size` says"
        expected += ", and of the constants behind" if constants else ""
    raise Fault(message, expected=expected, came=wrong, where=subject.where())


def _require_all_states(subject: Subject) -> None:
    """Say so, where a step that fails would run with one state more than `state_size` says."""
    cell, count = subject.fresh(), len(subject.cell.state_size)
    if subject.wrapped:
        return
    state = subject.state()
    more = [*state[:count], draw((BATCH, cell.hidden_size), 41), *state[count:]]
    try:
        wrong = wrong_result(cell.step(cell.project(subject.inputs(BATCH)), [*more]), len(more))
    except USER_ERRORS:  # something else is wrong
        return
    if wrong is None:
        raise Fault(
            f"`step` reads and returns {count + 1} states, and `state_size` says {count}",
            expected=_with_sizes(count + 1),
            came=f"`state_size` is {list(cell.state_size)}",
            where=subject.where("__init__"),
        )


@check("outputs and states have the right shapes", needs=("step_returns",))
def shapes(subject: Subject) -> None:
    """Outputs are `(B, O)`, states `(B, S)`, of the type of the input: for several rows, one row, and no row."""
    _require_shapes(subject, BATCH)
    _require_shapes(subject, 1)
    try:
        _require_shapes(subject, 0)
    except Fault:
        raise
    except USER_ERRORS as error:
        raise Fault(
            f"a batch of no rows raises {describe_error(error)}",
            expected="sizes in words, such as `view(-1, 4, hidden_size)`, if there may be such batches",
            where=subject.place_in(error) or subject.where(),
            status="noted",
        ) from error


def _require_shapes(subject: Subject, batch: int) -> None:
    cell = subject.fresh()
    _require_initial_state(subject, cell, batch)
    state = subject.state(batch)
    output, new = cell.step(cell.project(subject.inputs(batch)), state)
    states = zip(cell.state_names, new, cell.state_size, strict=False)
    named = [("output", output, cell.output_size), *((f"state `{name}`", s, size) for name, s, size in states)]
    for name, tensor, size in named:
        if tuple(tensor.shape) != (batch, size):
            raise Fault(
                f"the {name} has the wrong shape",
                expected=f"({batch}, {size}), (B, {'O' if name == 'output' else 'S'})",
                came=str(tuple(tensor.shape)),
                example=f"a batch of {batch} row{'' if batch == 1 else 's'}",
                where=subject.find_in_step(r"squeeze\(") or subject.where(),
            )
        if tensor.dtype != torch.float64:
            raise Fault(
                f"the {name} changes its type",
                expected="float64, the type of inputs, states and weights",
                came=str(tensor.dtype).removeprefix("torch."),
                where=subject.find(r"\.float\(|dtype=|\.half\(") or subject.where(),
            )


def _require_initial_state(subject: Subject, cell: RecurrentCell, batch: int) -> None:
    inputs = subject.inputs(batch)
    begun: Any = cell.initial_state(batch, inputs)
    expected = [(batch, size) for size in cell.state_size]
    fits = isinstance(begun, list) and all(isinstance(state, Tensor) for state in begun)
    types = {state.dtype for state in begun if state.is_floating_point()} if fits else set()  # a counter has its own
    if not fits or [tuple(state.shape) for state in begun] != expected or not types <= {inputs.dtype}:
        parts = ", ".join(map(describe, begun)) if isinstance(begun, list | tuple) else describe(begun)
        raise Fault(
            "`initial_state` must return a list with a tensor for each state",
            expected=f"tensors of {', '.join(map(str, expected))}, (B, S) each, with the type of `like`, "
            f"{str(inputs.dtype).removeprefix('torch.')}: `like.new_zeros(batch_size, size)`",
            came=f"{type(begun).__name__} of {parts}" if isinstance(begun, list | tuple) else parts,
            example=f"`initial_state({batch}, like)` with `like` of shape {tuple(inputs.shape)}",
            where=subject.where("initial_state"),
        )


@check("results are finite", needs=("shapes",))
def finite(subject: Subject) -> None:
    """Outputs and states hold no NaN and no infinity after a step on random numbers."""
    cell = subject.fresh()
    with torch.no_grad():
        output, new = cell.step(cell.project(subject.inputs(BATCH)), subject.state())
    for name, tensor in (
        ("output", output),
        *((f"state `{n}`", s) for n, s in zip(cell.state_names, new, strict=False)),
    ):
        if not tensor.isfinite().all():
            wrong = tensor[~tensor.isfinite()]
            spoilt = [weight for weight, values in subject.parameters().items() if not values.isfinite().all()]
            raise Fault(
                f"the {name} is not finite" + (f", nor is the weight `{spoilt[0]}`" if spoilt else ""),
                expected="numbers: no logarithm or root of what may be negative, no division by what may be 0, and "
                "weights that are given values (`torch.empty` gives none)",
                came=f"{wrong[0].item()} in {len(wrong)} of {tensor.numel()} places",
                example=f"one step on {BATCH} rows of random numbers",
                where=subject.find_in_step(r"log|sqrt|\*\*|/|exp") or subject.find("empty") or subject.where(),
            )


@check("`gates` gives what `gate_names` names", needs=("shapes", "finite"))
def gates_named(subject: Subject) -> None:
    """`gates` gives a tensor for each of `gate_names`, and for all steps at once the same as for one."""
    cell = subject.fresh()
    if subject.wrapped or not cell.gate_names:
        return
    constants = subject.constants(cell, BATCH, torch.zeros(1).double(), 1)
    states = [draw((STEPS, BATCH, size), 71 + k) for k, size in enumerate(cell.state_size)]
    with torch.no_grad():
        projected = cell.project(subject.inputs(STEPS, BATCH))
        together: Any = cell.gates(projected, states + constants)
        is_list = isinstance(together, tuple | list)
        if not is_list or [isinstance(gate, Tensor) for gate in together] != [True] * len(cell.gate_names):
            raise Fault(
                "`gates` must return a tensor for each of `gate_names`",
                expected=f"{len(cell.gate_names)}: {', '.join(cell.gate_names)}",
                came=f"{describe(together)}: {', '.join(map(describe, together))}" if is_list else describe(together),
                where=subject.where("gates"),
            )
        alone = zip(*(cell.gates(projected[t], [s[t] for s in states] + constants) for t in range(STEPS)), strict=True)
    for name, all_steps, each_step in zip(cell.gate_names, together, alone, strict=True):
        expected = torch.stack(each_step)
        if all_steps.shape != expected.shape or gap(all_steps, expected) > ROUNDING:
            raise Fault(
                f"`gates` gives another `{name}` for all steps at once than for each step",
                expected=f"a tensor of shape {tuple(expected.shape)} with the values of each step",
                came="other values" if all_steps.shape == expected.shape else describe(all_steps),
                example=f"`gates(projected, state)` with tensors of ({STEPS}, {BATCH}, …), (T, B, …)",
                where=subject.where("gates"),
            )


@check("TorchScript can compile it", needs=("step_returns",))
def compiles(subject: Subject) -> None:
    """Annotations are what TorchScript needs; without, the cell runs as Python, slower."""
    if subject.wrapped:
        raise Fault(
            "a plain module runs as Python, step by step, and `train.py` does not take it",
            expected="a subclass of seqsum.RecurrentCell with `project` and `step`, which can be compiled and trained",
            where=subject.where(),
            status="noted",
        )
    from seqsum.recurrent.backends import runner

    try:
        runner(copy.deepcopy(subject.original), "script")
    except RuntimeError as error:
        why = str(error).removeprefix(f"TorchScript can't compile {subject.kind.__name__}: ").strip()
        raise Fault(
            (unannotated_state(subject.cell) or why.splitlines()[0]).strip(),
            expected=f"`{SIGNATURE}`" if unannotated_state(subject.cell) else "what TorchScript knows",
            came="a cell that runs as Python, step by step, which is slower and gives the same numbers",
            where=subject.where(),
            status="noted",
        ) from error
