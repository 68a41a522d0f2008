"""Sizes, and what a step takes and returns: shapes, types, devices, of any number of rows."""

from __future__ import annotations

import re
from itertools import product
from typing import Any

import torch
from torch import Tensor

from seqsum.check.constructing import describe_error
from seqsum.check.registry import check
from seqsum.check.result import USER_ERRORS, Fault
from seqsum.check.subject import BATCH, STEPS, Subject, draw
from seqsum.recurrent import RecurrentCell
from seqsum.recurrent.explain import describe, wrong_result

TYPED = r"\.(float|half|bfloat16)\(|dtype=|torch\.(zeros|ones|empty|full|tensor|eye|arange)\("
ELSEWHERE = r"expected device|same device|device type"  # in torch's errors; `meta` has others, as it has no numbers


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
    for name in ("state_names", "gate_names"):
        if isinstance(value := getattr(cell, name), str):
            raise Fault(
                f"`{name}` is a text, and must be a tuple of texts",
                expected=f'`{name} = ("{value}",)`, with a comma',
                came=repr(value),
                where=subject.find(rf"\b{name}\b") or subject.where("__init__"),
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
    """`project` takes `(T, B, F)` and gives `(T, B, …)`, also of one step and of one row."""
    for axes in product((STEPS, 1), (BATCH, 1)):
        projected = subject.cell.project(subject.inputs(*axes))
        if not isinstance(projected, Tensor) or projected.dim() < 3 or projected.shape[:2] != axes:
            raise Fault(
                "`project` must keep the axes of time and batch",
                expected=f"a tensor of shape ({axes[0]}, {axes[1]}, …)",
                came=describe(projected),
                example=f"`project(input)` with an input of shape {(*axes, subject.cell.input_size)}, (T, B, F)",
                where=subject.find_in(("project",), r"squeeze\(") or subject.where("project"),
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
    """Outputs are `(B, O)`, states `(B, S)`, of the type and device of the input: for several rows, one, and none."""
    _require_one_type(subject)
    _require_shapes(subject, BATCH)
    for batch, rows in ((1, "one row"), (0, "no rows")):
        try:
            _require_shapes(subject, batch)
        except Fault:
            raise
        except USER_ERRORS as error:
            expected = (
                "axes that stay, of any number of rows" if batch else "sizes in words, if there may be such batches"
            )
            raise Fault(
                f"a batch of {rows} raises {describe_error(error)}",
                expected=f"{expected}: no `squeeze()`, and `view(-1, 4, hidden_size)`",
                where=subject.find_in_step(r"squeeze\(") or subject.place_in(error) or subject.where(),
                status="failed" if batch else "noted",
            ) from error
    _note_tensors_elsewhere(subject)


def _require_one_type(subject: Subject) -> None:
    """A step that rounds what it gets to float32 gives the right numbers to seven digits, and no more."""
    for call in subject.roundings():
        raise Fault(
            f"a step computes in another type than its input's: {call.reason}",
            expected="the type of input, states and weights throughout, which may be float64",
            came="fewer digits than float64 has, by which equations and gradients are compared",
            where=call.where,
        )


def _note_tensors_elsewhere(subject: Subject) -> None:
    """Note what is made on the CPU wherever the input is, by a step on `meta`, a device that every machine has."""
    try:
        cell, inputs = subject.fresh().to("meta"), subject.inputs(BATCH).to("meta")
    except USER_ERRORS:  # parts of TorchScript can't go there
        return
    message, where = "", ""
    try:
        begun = cell.initial_state(BATCH, inputs)
        if any(state.device != inputs.device for state in begun):
            message, where = "`initial_state` makes states on the CPU", subject.where("initial_state")
        cell.step(cell.project(inputs), [state.to("meta") for state in subject.state()])
    except USER_ERRORS as error:
        if re.search(ELSEWHERE, str(error)):
            message, where = "a step makes tensors on the CPU", subject.place_in(error)
    if message:
        raise Fault(
            f"{message}, wherever the input is: on a GPU it would fail",
            expected="`input.new_zeros(…)`, `torch.zeros(…, device=input.device)`, or a buffer, which goes where the "
            "weights go",
            where=where or subject.where(),
            status="noted",
        )


def _require_shapes(subject: Subject, batch: int) -> None:
    cell = subject.fresh()
    _require_initial_state(subject, cell, batch)
    state = subject.state(batch)
    output, new = cell.step(cell.project(subject.inputs(batch)), state)
    states = zip(cell.state_names, new, cell.state_size, strict=False)
    named = [("output", output, cell.output_size), *((f"state `{name}`", s, size) for name, s, size in states)]
    for name, tensor, size in named:
        if tuple(tensor.shape) != (batch, size):
            readout = name == "output" and subject.wrapped and tensor.shape[:-1] == (batch,)
            raise Fault(
                f"the {name} has the wrong shape",
                expected=f"({batch}, {size}), (B, {'O' if name == 'output' else 'S'})"
                + (
                    ": a readout belongs behind the layer, and the output of a cell is its hidden state"
                    if readout
                    else ""
                ),
                came=str(tuple(tensor.shape)),
                example=f"a batch of {batch} row{'' if batch == 1 else 's'}",
                where=subject.find_in_step(r"squeeze\(") or subject.where(),
            )
        if tensor.dtype != torch.float64:
            raise Fault(
                f"the {name} {'is complex' if tensor.is_complex() else 'changes its type'}",
                expected="float64, the type of inputs, states and weights"
                + (": real and imaginary part may be a state each" if tensor.is_complex() else ""),
                came=str(tensor.dtype).removeprefix("torch."),
                where=subject.find(TYPED) or subject.where(),
            )


def _with_type(value: Any) -> str:
    kind = f", {str(value.dtype).removeprefix('torch.')}" if isinstance(value, Tensor) else ""
    return describe(value) + kind


def _require_initial_state(subject: Subject, cell: RecurrentCell, batch: int) -> None:
    inputs = subject.inputs(batch)
    begun: Any = cell.initial_state(batch, inputs)
    expected = [(batch, size) for size in cell.state_size]
    fits = isinstance(begun, list) and all(isinstance(state, Tensor) for state in begun)
    types = {state.dtype for state in begun if state.is_floating_point()} if fits else set()  # a counter has its own
    if not fits or [tuple(state.shape) for state in begun] != expected or not types <= {inputs.dtype}:
        parts = ", ".join(map(_with_type, begun)) if isinstance(begun, list | tuple) else _with_type(begun)
        raise Fault(
            "`initial_state` must return a list with a tensor for each state",
            expected=f"tensors of {', '.join(map(str, expected))}, (B, S) each, with the type of `like`, "
            f"{str(inputs.dtype).removeprefix('torch.')}: `like.new_zeros(batch_size, size)`",
            came=f"{type(begun).__name__} of {parts}" if isinstance(begun, list | tuple) else parts,
            example=f"`initial_state({batch}, like)` with `like` of shape {tuple(inputs.shape)}",
            where=subject.where("initial_state"),
        )
