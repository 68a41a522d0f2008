"""Weights of a module that neither an optimizer nor `.to()` nor `state_dict()` finds."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import Tensor, nn

from seqsum.recurrent.cells.weights import NOT_THE_CELLS_OWN

# attributes of every module, of every cell, of torch's layers and of Lightning's modules
NOT_USERS = NOT_THE_CELLS_OWN | {"_arguments", "_flat_weights", "_hparams", "_hparams_initial", "_trainer", "_fabric"}
PACKAGES = {"torch", *sys.stdlib_module_names}  # whose objects hold no weights of a user's


class Unregistered(NamedTuple):
    """A module, parameter or tensor that is not registered: its path, and the attribute in which it is."""

    path: str
    thing: Any
    holder: Any

    @property
    def takes_gradients(self) -> bool:
        """Whether it was meant to be trained."""
        weights = self.thing.parameters() if isinstance(self.thing, nn.Module) else [self.thing]
        return any(weight.requires_grad for weight in weights)


def find_unregistered(module: nn.Module) -> Iterator[Unregistered]:
    """Find modules, parameters and tensors in lists, dicts, plain objects and attributes of a module.

    What does not take gradients only counts in attributes, lists and dicts with public names: caches, and tables of
    other objects, are no weights.
    """
    known = {id(tensor) for tensor in [*module.parameters(), *module.buffers()]}
    known |= {id(part) for part in module.modules()}
    for place, owner in module.named_modules():
        computed = computed_by_hooks(owner)
        for name, value in vars(owner).items():
            if name in NOT_USERS or name in computed:
                continue
            for path, thing, is_plain in walk(".".join(filter(None, ["self", place, name])), value):
                found, public = Unregistered(path, thing, value), is_plain and not name.startswith("_")
                if id(thing) not in known and (public or found.takes_gradients):
                    yield found


def computed_by_hooks(module: nn.Module) -> set[str]:
    """The names of tensors that torch's weight_norm, spectral_norm and pruning compute anew before each call."""
    hooks = module._forward_pre_hooks.values()  # torch has no other list of them
    return {
        name for hook in hooks for key in ("name", "_tensor_name") if isinstance(name := getattr(hook, key, None), str)
    }


def walk(path: str, value: Any, is_plain: bool = True, seen: set[int] | None = None) -> Iterator[tuple[str, Any, bool]]:
    """The tensors and modules in a value and the lists, dicts and users' objects inside it.

    Yields:
        Path, tensor or module, and whether it is in no such object, but in lists and dicts alone.
    """
    seen = set() if seen is None else seen
    if id(value) in seen:  # objects may refer to each other
        return
    seen.add(id(value))
    if isinstance(value, nn.Module | nn.Parameter) or (isinstance(value, Tensor) and value.is_floating_point()):
        yield path, value, is_plain
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from walk(f"{path}[{index}]", item, is_plain, seen)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from walk(f"{path}[{key!r}]", item, is_plain, seen)
    elif type(value).__module__.partition(".")[0] not in PACKAGES:
        for name, item in getattr(value, "__dict__", {}).items():
            yield from walk(f"{path}.{name}", item, False, seen)
