"""Weights of a module that neither an optimizer nor `.to()` nor `state_dict()` finds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn


def find_unregistered(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield the modules, parameters and tensors in lists, dicts and plain attributes of a module, by their paths."""
    known = {id(tensor) for tensor in [*module.parameters(), *module.buffers()]}
    known |= {id(part) for part in module.modules()}
    for owner in module.modules():
        computed = computed_by_hooks(owner)
        for name, value in vars(owner).items():
            if not name.startswith("_") and name not in computed:
                yield from ((path, thing) for path, thing in _walk(f"self.{name}", value) if id(thing) not in known)


def computed_by_hooks(module: nn.Module) -> set[str]:
    """The names of tensors that torch's weight_norm, spectral_norm and pruning compute anew before each call."""
    hooks = module._forward_pre_hooks.values()  # torch has no other list of them
    return {
        name for hook in hooks for key in ("name", "_tensor_name") if isinstance(name := getattr(hook, key, None), str)
    }


def _walk(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The tensors and modules in a value and the lists, tuples and dicts inside it, by path."""
    if isinstance(value, nn.Module | nn.Parameter) or (isinstance(value, Tensor) and value.is_floating_point()):
        yield path, value
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _walk(f"{path}[{index}]", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _walk(f"{path}[{key!r}]", item)
