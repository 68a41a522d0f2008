"""A cell over time: what each step may depend on, and that it does not matter how a sequence is cut."""

from __future__ import annotations

import random
from itertools import product

import numpy as np
import torch
from torch import Tensor

from seqsum.check.registry import check
from seqsum.check.result import Fault
from seqsum.check.subject import BATCH, STEPS, Subject
from seqsum.recurrent import Recurrent, RecurrentCell
from seqsum.recurrent.unroll import Unroll

CLOSE = 1e-9  # in float64
MANY = 32  # steps
ROWS = ("first", "second")
PLACES = r"batch_size|\.shape\[0\]|\.size\(0\)|len\("  # what counts or cuts rows
OVER_ROWS = r"dim=0|BatchNorm|\b(soft)?max\(\w+, 0\)|(mean|std|var|sum|norm)\((dim=)?0|axis=0|, 0\)|\.(view|reshape)\("


def gap(one: Tensor, other: Tensor) -> float:
    """The largest difference; infinite where there is NaN on one side."""
    difference = (one - other).abs()
    return float("inf") if difference.isnan().any() else difference.max().item() if difference.numel() else 0.0


@check("a step sees no later input", needs=("projects", "deterministic"))
def no_look_ahead(subject: Subject) -> None:
    """What `project` gives for a step does not change with later inputs."""
    _look(subject, later=True)


@check("`project` sees one step alone", needs=("no_look_ahead",))
def project_alone(subject: Subject) -> None:
    """What `project` gives for a step is free of state and time: the same with other steps before it, or alone."""
    _look(subject, later=False)


def _look(subject: Subject, later: bool) -> None:
    cell, inputs, other = subject.cell, subject.inputs(STEPS, BATCH), subject.inputs(STEPS, BATCH, seed=6)
    for steps in range(2, STEPS + 1):
        kept, moved = (0, -1) if later else (-1, 0)
        changed = _with_row(inputs[:steps], moved, other)
        difference = gap(cell.project(inputs[:steps])[kept], cell.project(changed)[kept])
        if difference > CLOSE:
            what = (
                "the last input changes what `project` gives for the first step"
                if later
                else ("the first input changes what `project` gives for the last step")
            )
            raise Fault(
                "`project` looks into the future" if later else "`project` mixes steps",
                expected="each step's own input alone: what lies between steps belongs into the state",
                came=f"{what}, by {difference:.3g}",
                example=f"{steps} steps, with other numbers in the {'last' if later else 'first'} one",
                where=subject.find_in(("project",), rf"{OVER_ROWS}|roll|shift|flip|Conv|cumsum")
                or subject.where("project"),
            )
    if later:
        return
    alone = torch.stack([cell.project(step) for step in inputs])
    if (difference := gap(cell.project(inputs), alone)) > CLOSE:
        raise Fault(
            "`project` gives something else for all steps at once than for one after another",
            expected="`project(inputs)[t]` equal to `project(inputs[t])`",
            came=f"a difference of {difference:.3g}",
            example=f"{STEPS} steps of {BATCH} rows",
            where=subject.find_in(("project",), OVER_ROWS) or subject.where("project"),
        )


@check("rows do not depend on each other", needs=("shapes", "deterministic"))
def rows_independent(subject: Subject) -> None:
    """Other rows of the batch change nothing, in training neither, nor does a row's place, nor that it is alone."""
    inputs, state, others = subject.inputs(2), subject.state(2), (subject.inputs(2, seed=6), *subject.state(2, seed=8))
    for training, row in product((False, True), (0, 1)):
        first = _step(subject, training, inputs, state)
        changed, *mixed = (_with_row(theirs, row, mine) for mine, theirs in zip((inputs, *state), others, strict=True))
        for name, second in (
            ("input", _step(subject, training, changed, state)),
            ("state", _step(subject, training, inputs, mixed)),
        ):
            difference = max(gap(one[row], two[row]) for one, two in zip(first, second, strict=True))
            if difference > CLOSE:
                raise Fault(
                    f"rows of the batch are mixed{' in training' if training else ''}",
                    expected="each row from its own input and state: a softmax, mean or norm goes over `dim=-1`, and "
                    "`view` keeps the rows where they are",
                    came=f"the {ROWS[row]} row changes by {difference:.3g} with the {name} of the {ROWS[1 - row]}",
                    example="one step on two rows",
                    where=subject.find_in_step(OVER_ROWS) or subject.find("BatchNorm") or subject.where(),
                )
    _require_the_same_alone(subject)


@torch.no_grad()
def _require_the_same_alone(subject: Subject) -> None:
    """The place of a row in the batch, and the number of rows, change nothing: from no state, nor from the initial."""
    cell, inputs = subject.fresh(), subject.inputs(BATCH)
    given = subject.caller_gives(BATCH, inputs.dtype)

    def from_the_start(rows: slice) -> list[Tensor]:
        like = inputs[rows]
        constants = (None if tensor is None else tensor[rows] for tensor in given)
        return [*cell.initial_state(len(like), like), *cell.constants(len(like), like, None, *constants)]

    state = subject.state()
    for begin, origin, method in (
        (lambda rows: [tensor[rows] for tensor in state], "random", None),
        (from_the_start, "the initial", "initial_state"),
    ):
        whole = _results(cell, inputs, begin(slice(None)))
        for row in range(BATCH):
            own = slice(row, row + 1)
            alone = _results(cell, inputs[own], begin(own))
            if (difference := max(gap(one[own], two) for one, two in zip(whole, alone, strict=True))) > CLOSE:
                raise Fault(
                    "a row gives something else alone than among others",
                    expected="the same, whatever its place in the batch and the number of rows",
                    came=f"a difference of {difference:.3g}",
                    example=f"one step from {origin} states: row {row} of {BATCH}, and the same row alone",
                    where=subject.find_in_step(PLACES) or subject.where(method),
                )


def _results(cell: RecurrentCell, inputs: Tensor, state: list[Tensor]) -> list[Tensor]:
    # copies, since a step may write into its state, of which another check tells
    output, new = cell.step(cell.project(inputs), [tensor.clone() for tensor in state])
    return [output, *new]


def _with_row(tensor: Tensor, row: int, source: Tensor) -> Tensor:
    """A copy of a tensor with one row of another."""
    result = tensor.clone()
    result[row] = source[row]
    return result


def _step(subject: Subject, training: bool, inputs: Tensor, state: list[Tensor]) -> list[Tensor]:
    """All results of one step; dropout, which training may have, is the same in each."""
    cell = subject.fresh().train(training)
    torch.default_generator.manual_seed(0)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  # numpy's old one, which has no owner
    return _results(cell, inputs, state)


@check("the state is read and written", needs=("shapes", "deterministic"))
def state_used(subject: Subject) -> None:
    """Every state changes the result and is changed, and by the input: otherwise nothing is remembered."""
    cell, inputs, state = subject.cell, subject.inputs(BATCH), subject.state()
    results = _results(cell, inputs, state)
    for k, name in enumerate(cell.state_names):
        # a counter may have no effect from most random ones, and a state that is normalised none by a sum
        others = (state[k] + 1, subject.state(seed=8)[k])
        changed = [_results(cell, inputs, [*state[:k], other, *state[k + 1 :]]) for other in others]
        if all(gap(*pair) == 0 for found in changed for pair in zip(results, found, strict=True)):
            raise Fault(
                f"the state `{name}` is not read",
                expected=f"a result that depends on `state[{k}]`: else nothing is remembered from it",
                came="the same result with another state",
                example="one step, with 1 added to the state, and with other random numbers",
                where=subject.where(),
            )
    other = subject.inputs(BATCH, seed=6)
    pairs = [[_results(cell, given, s)[1:] for given in (inputs, other)] for s in subject.states(cell)]
    if all(gap(one, two) == 0 for pair in pairs for one, two in zip(*pair, strict=True)):
        raise Fault(
            "the new state does not depend on the input",
            expected="a state that remembers inputs",
            came="the same new state for another input",
            example="one step on other random numbers",
            where=subject.where(),
        )
    if kept := _never_written(subject):
        name = kept[0]
        raise Fault(
            f"the state `{name}` is not written",
            expected="a step that returns a new one: what stays the same for a whole sequence is no state",
            came=f"`{name}` as it was, after {MANY} steps too",
            example="random inputs, from a random and from the initial state",
            where=subject.find_in([subject.step_name], r"^\s*return\b") or subject.where(),
        )


def _never_written(subject: Subject) -> list[str]:
    """Names of the states that every step returns as it got them; a slow clock may do so for some steps."""
    cell = subject.cell
    names = list(cell.state_names)
    for start in subject.states(cell):
        state = start
        for inputs in subject.inputs(MANY, BATCH):
            _, state = cell.step(cell.project(inputs), [each.clone() for each in state])
            pairs = dict(zip(cell.state_names, zip(start, state, strict=True), strict=False))  # without constants
            names = [name for name in names if gap(*pairs[name]) == 0]
            if not names:
                return []
    return names


@check("a sequence that is cut goes on where it was", needs=("shapes", "project_alone", "deterministic"))
def continues(subject: Subject) -> None:
    """Two halves, the second from the state after the first, give what the whole gives."""
    loop, inputs, state = Unroll(subject.cell), subject.inputs(STEPS, BATCH), subject.state()
    whole, final = loop(inputs, state)
    first, between = loop(inputs[:2], state)
    second, last = loop(inputs[2:], between)
    parts = [(whole, torch.cat([first, second])), *zip(final, last, strict=True)]
    if (difference := max(gap(one, two) for one, two in parts)) > CLOSE:
        raise Fault(
            "two halves of a sequence give something else than the whole",
            expected="all that a step needs is in the state that it is given",
            came=f"a difference of {difference:.3g}",
            example=f"{STEPS} steps, and the same as 2 and {STEPS - 2}",
            where=subject.where(),
        )


@check("a mask carries the state over", needs=("shapes", "project_alone", "deterministic"))
def masks(subject: Subject) -> None:
    """Masked steps change nothing: a row of two steps ends as the same row does without the steps behind."""
    loop, inputs, state = Unroll(subject.cell), subject.inputs(STEPS, 2), subject.state(2)
    mask = torch.ones(STEPS, 2, dtype=torch.bool)
    mask[2:, 0] = False
    _, final = loop(inputs, state, mask)
    _, expected = loop(inputs[:2], state)
    if (difference := max(gap(one[:1], two[:1]) for one, two in zip(final, expected, strict=True))) > CLOSE:
        raise Fault(
            "steps that are masked change the state",
            expected="all that is remembered is in the state, which the loop carries over",
            came=f"a final state that differs by {difference:.3g}",
            example=f"two rows of {STEPS} steps, the first one masked from the third on",
            where=subject.where(),
        )


@check("the layer gives what a loop by hand gives", needs=("continues", "masks"))
def same_in_a_loop(subject: Subject) -> None:
    """`seqsum.Recurrent` around the cell, by the backend that `auto` picks, gives what five lines of Python give."""
    cell, inputs = subject.fresh(), subject.inputs(STEPS, BATCH)
    state = cell.initial_state(BATCH, inputs) + subject.constants(cell, BATCH, inputs)
    outputs = []
    for step in inputs:
        output, state = cell.step(cell.project(step), state)
        outputs.append(output)
    layer = Recurrent(cell, backend="eager" if subject.wrapped else "auto").eval()
    came, _ = layer(inputs, constants=subject.caller_gives(BATCH, inputs.dtype))
    if (difference := gap(torch.stack(outputs), came)) > CLOSE:
        raise Fault(
            f"the layer, by the backend {layer.last_backend}, gives something else than a loop by hand",
            expected="the same numbers",
            came=f"a difference of {difference:.3g}",
            example=f"{STEPS} steps of {BATCH} rows from the initial state",
            where=subject.where(),
        )
