"""Weights of a module that neither an optimizer nor `.to()` nor `state_dict()` finds."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from seqsum.recurrent.cells.weights import NOT_THE_CELLS_OWN

HIDDEN = NOT_THE_CELLS_OWN | {"_arguments"}  # attributes of every module, or of every cell
NOT_USERS = {"torch", *sys.stdlib_module_names}  # packages


def find_unregistered(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield the modules, parameters and tensors in lists, dicts, plain objects and attributes of a module, by path."""
    known = {id(tensor) for tensor in [*module.parameters(), *module.buffers()]}
    known |= {id(part) for part in module.modules()}
    for owner in module.modules():
        computed = computed_by_hooks(owner)
        for name, value in vars(owner).items():
            if name not in HIDDEN and name not in computed:
                found = walk(f"self.{name}", value, seen=set())
                yield from ((path, thing) for path, thing in found if id(thing) not in known)


def computed_by_hooks(module: nn.Module) -> set[str]:
    """The names of tensors that torch's weight_norm, spectral_norm and pruning compute anew before each call."""
    hooks = module._forward_pre_hooks.values()  # torch has no other list of them
    return {
        name for hook in hooks for key in ("name", "_tensor_name") if isinstance(name := getattr(hook, key, None), str)
    }


def walk(path: str, value: Any, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """The tensors and modules in a value and the lists, tuples, dicts and users' objects inside it, by path."""
    if id(value) in seen:  # objects may refer to each other
        return
    seen.add(id(value))
    if isinstance(value, nn.Module | nn.Parameter) or (isinstance(value, Tensor) and value.is_floating_point()):
        yield path, value
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from walk(f"{path}[{index}]", item, seen)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from walk(f"{path}[{key!r}]", item, seen)
    elif type(value).__module__.partition(".")[0] not in NOT_USERS:
        for name, item in getattr(value, "__dict__", {}).items():
            yield from walk(f"{path}.{name}", item, seen)
