"""Weights are where an optimizer finds them, made once, and all of them are used."""

from __future__ import annotations

import copy
import threading
from contextlib import suppress
from typing import Any

import torch
from torch import nn

from seqsum.check.registry import check
from seqsum.check.result import USER_ERRORS, Fault
from seqsum.check.subject import BATCH, Subject
from seqsum.recurrent.unregistered import find_unregistered

MAKES_WEIGHTS = r"nn\.(Linear|Parameter)\(|torch\.(randn|rand|empty|normal)"
MADE_ONCE = "weights made once, in `__init__`, as `self.name = nn.Parameter(…)` or a module"


@check("all weights are parameters")
def parameters_registered(subject: Subject) -> None:
    """No weight is kept in a list, or as a plain tensor, where neither an optimizer nor `.to()` finds it."""
    module = subject.module
    for path, thing in find_unregistered(module):
        raise _unregistered(subject, path, thing)
    if frozen := [name for name, weight in module.named_parameters() if not weight.requires_grad]:
        raise Fault(
            f"{', '.join(f'`{name}`' for name in frozen[:5])} {'are' if len(frozen) > 1 else 'is'} frozen: "
            "an optimizer leaves them as they are",
            expected="`requires_grad` for weights that are trained",
            came=f"{len(frozen)} of {len(list(module.parameters()))} weights without",
            where=subject.find("requires_grad") or subject.where("__init__"),
            status="noted",
        )


def _unregistered(subject: Subject, path: str, thing: Any) -> Fault:
    name = path.split("[")[0].removeprefix("self.")
    kept = {nn.Module: "nn.ModuleList or nn.ModuleDict", nn.Parameter: "nn.ParameterList or nn.ParameterDict"}
    remedy = next((remedy for kind, remedy in kept.items() if isinstance(thing, kind)), None)
    plain = f"`self.{name} = nn.Parameter(…)`, or `self.register_buffer(…)` for what is not trained"
    return Fault(
        f"`{path}` is not registered: an optimizer does not find it, nor do `.to()` and `state_dict()`",
        expected=f"{remedy} instead of a plain list or dict" if "[" in path and remedy else plain,
        came=f"a {type(thing).__name__} in a plain {type(vars(subject.module).get(name)).__name__}",
        where=subject.find(rf"self\.{name}\b") or subject.where("__init__"),
    )


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
