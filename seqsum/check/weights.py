"""Weights are where an optimizer finds them, made once, and all of them are used."""

from __future__ import annotations

import copy
import re
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from seqsum.check.registry import check
from seqsum.check.result import USER_ERRORS, Fault
from seqsum.check.subject import BATCH, Subject
from seqsum.recurrent import RecurrentCell
from seqsum.recurrent.unregistered import Unregistered, find_unregistered, walk

MAKES_WEIGHTS = r"nn\.(Linear|Parameter)\(|torch\.(randn|rand|empty|normal)"
MADE_ONCE = "weights made once, in `__init__`, as `self.name = nn.Parameter(…)` or a module"
NOT_FOUND = "an optimizer does not find it, nor do `.to()` and `state_dict()`"


@check("all weights are parameters")
def parameters_registered(subject: Subject) -> None:
    """No weight is in a list, a plain tensor, the class or the file, where no optimizer and no `.to()` finds it."""
    module = subject.module
    for found in find_unregistered(module):
        raise _unregistered(subject, found)
    for weight in _read_from_elsewhere(subject):
        if (fault := _elsewhere(subject, weight)) is not None:
            raise fault
    if frozen := [name for name, weight in module.named_parameters() if not weight.requires_grad]:
        raise Fault(
            f"{', '.join(f'`{name}`' for name in frozen[:5])} {'are' if len(frozen) > 1 else 'is'} frozen: "
            "an optimizer leaves them as they are",
            expected="`requires_grad` for weights that are trained",
            came=f"{len(frozen)} of {len(list(module.parameters()))} weights without",
            where=subject.find("requires_grad") or subject.where("__init__"),
            status="noted",
        )


def _unregistered(subject: Subject, found: Unregistered) -> Fault:
    path, thing, holder = found
    name = re.split(r"[.\[]", path.removeprefix("self."))[0]
    kept = {nn.Module: "nn.ModuleList or nn.ModuleDict", nn.Parameter: "nn.ParameterList or nn.ParameterDict"}
    expected = f"`self.{name} = nn.Parameter(…)`, or `self.register_buffer(…)` for what is not trained"
    for kind, remedy in kept.items():
        if isinstance(holder, list | tuple | dict) and isinstance(thing, kind):
            expected = f"{remedy} instead of a plain list or dict"
    if not isinstance(holder, Tensor | nn.Module | list | tuple | dict):
        expected = f"`class {type(holder).__name__}(nn.Module)`, with `super().__init__()` as the first line"
    return Fault(
        f"`{path}` is not registered: {NOT_FOUND}",
        expected=expected,
        came=f"a {type(thing).__name__} in a plain {type(holder).__name__}",
        where=subject.find(rf"self\.{name}\b") or subject.where("__init__"),
    )


def _read_from_elsewhere(subject: Subject) -> list[Tensor]:
    """The weights that a step reads and the cell does not have."""
    cell = copy.deepcopy(subject.original)
    if any(isinstance(part, torch.jit.ScriptModule) for part in cell.modules()):
        return []  # it runs on other tensors than its `parameters()` are
    first, second = _leaves(_step_as_made(subject, cell)), _leaves(_step_as_made(subject, cell))
    again = {id(leaf) for leaf in second}  # a step may make tensors that take gradients, to differentiate by them
    read = [leaf for leaf in first if id(leaf) in again or isinstance(leaf, nn.Parameter)]
    known = {id(weight) for weight in cell.parameters()}
    return [leaf for leaf in read if id(leaf) not in known]


def _step_as_made(subject: Subject, cell: RecurrentCell) -> list[Any]:
    """Results of a step in the type that the cell was made in; none where it fails, which later checks are for."""
    dtype = subject.made_in
    with suppress(*USER_ERRORS):
        inputs = subject.inputs(BATCH).to(dtype)
        state = [tensor.to(dtype) if tensor.is_floating_point() else tensor for tensor in subject.state(cell=cell)]
        output, new = cell.step(cell.project(inputs), state)
        return [output, *new]
    return []


def _leaves(results: Sequence[Any]) -> list[Tensor]:
    """The tensors that results were computed from and that take gradients."""
    found: list[Tensor] = []
    nodes = [result.grad_fn for result in results if isinstance(result, Tensor) and result.grad_fn is not None]
    seen: set[Any] = set()
    while nodes:
        node = nodes.pop()
        if node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):  # where a gradient is accumulated
            found.append(node.variable)
        nodes += [before for before, _ in node.next_functions if before is not None]
    return found


def _elsewhere(subject: Subject, weight: Tensor) -> Fault | None:
    """The fault that a step reads a weight of the class or of the file; None if it is of neither."""
    of_class = {name: value for kind in reversed(subject.kind.__mro__) for name, value in vars(kind).items()}
    of_file = getattr(sys.modules.get(subject.kind.__module__), "__dict__", {})
    for holder, values in (("class", of_class), ("file", of_file)):
        for name, value in values.items():
            for path, thing, _ in walk(name, value):
                if thing is weight or (isinstance(thing, nn.Module) and any(p is weight for p in thing.parameters())):
                    return Fault(
                        f"`{path}` is not registered: {NOT_FOUND}",
                        expected=MADE_ONCE,
                        came=f"a {type(thing).__name__} of the {holder}, which all cells share",
                        where=subject.find_in_step(rf"\b{name}\b") or subject.where(),
                    )
    return None


@check("`step` makes no weights")
def makes_no_weights(subject: Subject) -> None:
    """No weight is made during a step: it would be another one each time, and never be trained."""
    cell = copy.deepcopy(subject.original)
    made: list[str] = []
    here = threading.get_ident()

    def remember(module: nn.Module, name: str, parameter: Any) -> None:
        if threading.get_ident() == here:  # torch calls it for the modules of all threads
            made.append(f"{name} of {type(module).__name__}")

    hook = torch.nn.modules.module.register_module_parameter_registration_hook(remember)
    try:
        with suppress(*USER_ERRORS):  # a step that fails is what the next checks are for
            projected = cell.project(torch.ones(BATCH, cell.input_size))
            states = [torch.ones(BATCH, size) for size in cell.state_size]
            cell.step(projected, states + subject.constants(cell, BATCH, projected))
    finally:
        hook.remove()
    if made:
        where = subject.find_in_step(MAKES_WEIGHTS) or subject.where()
        came = f"{', '.join(dict.fromkeys(made))}, new with each step"
        raise Fault(f"`{subject.step_name}` makes weights", expected=MADE_ONCE, came=came, where=where)
    for weight in _read_from_elsewhere(subject):
        if any(torch.equal(weight, own) for own in subject.original.parameters() if own.shape == weight.shape):
            raise Fault(
                "a copy of the cell reads the weights of the first one",
                expected="a method: a lambda or hook that reads `self` keeps the cell that it was made in",
                came=f"a step of a copy that depends on a {tuple(weight.shape)} of the original",
                where=subject.find(r"\blambda\b|register_\w*hook|partial\(") or subject.where("__init__"),
            )
        raise Fault(
            f"`{subject.step_name}` makes a weight, or reads one that is not registered: {NOT_FOUND}",
            expected=MADE_ONCE,
            came=f"a {type(weight).__name__} {tuple(weight.shape)} that is not in `parameters()`",
            where=subject.find_in_step(rf"{MAKES_WEIGHTS}|requires_grad") or subject.where(),
        )
