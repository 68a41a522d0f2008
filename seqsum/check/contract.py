"""What a layer, a trace and TorchScript need of every cell, whatever it computes."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from seqsum.check.adapter import users_name
from seqsum.check.constructing import filled_memory
from seqsum.check.recurrence import gap
from seqsum.check.registry import check
from seqsum.check.result import Fault
from seqsum.check.subject import BATCH, STEPS, Subject, draw
from seqsum.recurrent.explain import SIGNATURE, describe, unannotated_state

ROUNDING = 1e-9  # in float64
NO_VALUES = r"(empty\w*|Tensor)\("


@check("results are finite", needs=("shapes",))
def finite(subject: Subject) -> None:
    """Weights are given values, and no NaN or infinity is in what a step gives from random and from initial states."""
    _require_values(subject)
    cell = subject.fresh()
    names, results = ("output", *(f"state `{name}`" for name in cell.state_names)), []
    for origin, state in zip(("random", "the initial"), subject.states(cell), strict=True):
        with torch.no_grad():
            output, new = cell.step(cell.project(subject.inputs(BATCH)), list(state))
        results += [(origin, name, tensor) for name, tensor in zip(names, (output, *new), strict=False)]
    for origin, name, tensor in results:
        if not tensor.isfinite().all():
            wrong = tensor[~tensor.isfinite()]
            spoilt = [weight for weight, values in subject.parameters().items() if not values.isfinite().all()]
            raise Fault(
                f"the {name} is not finite" + (f", nor is the weight `{spoilt[0]}`" if spoilt else ""),
                expected="numbers: no logarithm or root of what may be negative, no division by what may be 0, and "
                "weights that are given values (`torch.empty` gives none)",
                came=f"{wrong[0].item()} in {len(wrong)} of {tensor.numel()} places",
                example=f"one step on {BATCH} rows of random numbers, from {origin} states",
                where=subject.find_in_step(r"log|sqrt|\*\*|/|exp") or subject.find("empty") or subject.where(),
            )


def _require_values(subject: Subject) -> None:
    """Say so, where a weight of a class has the numbers that were in memory."""
    if not subject.is_class:
        return
    sizes = subject.cell.input_size, subject.cell.hidden_size
    with filled_memory():
        made = subject.resize(*sizes)
    for name, weight in made.named_parameters():
        if is_lazy(weight) or not weight.isnan().any():
            continue
        if not subject.resize(*sizes).get_parameter(name).isnan().any():  # else NaN was meant
            own = users_name(name)
            place = rf"self\.{own.split('.')[0]}\b"
            raise Fault(
                f"the weight `{own}` is given no values",
                expected="values, by `torch.randn(…)`, `torch.zeros(…)` or `nn.init`: `torch.empty(…)` and "
                "`torch.Tensor(n, m)` have what was in memory before",
                came="other numbers each time",
                where=subject.find(rf"{place}.*{NO_VALUES}") or subject.find(NO_VALUES) or subject.find(place),
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
