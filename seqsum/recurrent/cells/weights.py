"""Run a cell with other tensors as its weights: saved for a backward pass, or computed from other parameters."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor, nn
from torch.nn.utils.parametrize import type_before_parametrizations

from seqsum.recurrent.cells.base import RecurrentCell

COPY_OF = "_copy_of"  # attribute of a copy, which is the cell itself
NOT_THE_CELLS_OWN = {*vars(nn.Module()), "_compiled", COPY_OF}
HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")


def has_hooks(module: nn.Module) -> bool:
    """Whether calling the module would run hooks."""
    before, after = module._forward_pre_hooks or module._backward_pre_hooks, module._forward_hooks
    return bool(before or after or module._backward_hooks)


def computed_weights(cell: nn.Module) -> dict[str, Tensor]:
    """Return the cell's parametrized weights by name, with their current values.

    They are not parameters but computed from others (`torch.nn.utils.parametrize`) whenever they are read, so this
    function reads each once. Weights that hooks compute (`prune`, `weight_norm`, `spectral_norm`) are plain attributes.
    """
    if "parametrizations" not in cell._modules:  # `is_parametrized` would take ten times as long
        return {}
    return {name: getattr(cell, name) for name in cast(nn.ModuleDict, cell.parametrizations)}


def with_weights(cell: RecurrentCell, weights: Mapping[str, Tensor]) -> RecurrentCell:
    """Copy a cell shallowly for one run, with the given tensors as its weights and without hooks; share all else.

    The copy has the cell's class from before it was parametrized, so that kernels for that class accept it.
    """
    twin: RecurrentCell = object.__new__(type_before_parametrizations(cell))
    own: dict[str, Any] = {name: value for name, value in cell.__dict__.items() if name not in weights}
    own.pop("_compiled", None)  # was compiled with the cell's own weights

    own["_parameters"] = {**cell._parameters, **weights}
    own["_modules"] = {name: module for name, module in cell._modules.items() if name != "parametrizations"}
    twin.__dict__.update(own, **{kind: OrderedDict() for kind in HOOKS}, **{COPY_OF: cell})
    return twin


def is_copy(cell: nn.Module) -> bool:
    """Whether the cell is a copy from `with_weights`."""
    return COPY_OF in cell.__dict__


def hand_back_attributes(twin: RecurrentCell) -> None:
    """Set what a step of a copy has set, such as a counter, on the cell itself."""
    cell: RecurrentCell = twin.__dict__[COPY_OF]
    for name, value in twin.__dict__.items():
        if name not in NOT_THE_CELLS_OWN and cell.__dict__.get(name) is not value:
            cell.__dict__[name] = value
