"""A cell with other tensors for weights: those that a backward pass has kept, or that are computed from others."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor, nn
from torch.nn.utils.parametrize import type_before_parametrizations

from seqsum.recurrent.cells.base import RecurrentCell

HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")


def has_hooks(module: nn.Module) -> bool:
    """Whether hooks would run if the module were called."""
    before, after = module._forward_pre_hooks or module._backward_pre_hooks, module._forward_hooks
    return bool(before or after or module._backward_hooks)


def computed_weights(cell: nn.Module) -> dict[str, Tensor]:
    """Those weights of a cell itself that are no parameters, but computed from others, as they are now, by name.

    Parametrizations (`torch.nn.utils.parametrize`) compute them when they are read, which is done once here; hooks
    (`prune`, `weight_norm`, `spectral_norm`) before each run, and leave them as attributes.
    """
    weights: dict[str, Tensor] = {}
    if cell._forward_pre_hooks:
        weights |= {name: value for name, value in cell.__dict__.items() if isinstance(value, Tensor)}
    if "parametrizations" in cell._modules:  # `is_parametrized` would take ten times as long
        weights |= {name: getattr(cell, name) for name in cast(nn.ModuleDict, cell.parametrizations)}
    return weights


def with_weights(cell: RecurrentCell, weights: Mapping[str, Tensor]) -> RecurrentCell:
    """A twin of the cell that has the given tensors for its weights of these names, and no hooks; all else is shared.

    Its class is that of the cell before it was parametrized, so kernels for that class run it.
    """
    twin: RecurrentCell = object.__new__(type_before_parametrizations(cell))
    own: dict[str, Any] = {name: value for name, value in cell.__dict__.items() if name not in weights}
    own.pop("_compiled", None)  # around the cell's own weights
    own["_parameters"] = {**cell._parameters, **weights}
    own["_modules"] = {name: module for name, module in cell._modules.items() if name != "parametrizations"}
    twin.__dict__.update(own, **{kind: OrderedDict() for kind in HOOKS})
    return twin
