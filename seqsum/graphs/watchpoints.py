"""Finds what watches a training step, and changes of the network, both of which a graph would ignore."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import numpy as np
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.nn.modules import module as torchs_module

from seqsum.recurrent import Recurrent
from seqsum.recurrent.modes import has_dispatch_mode, has_function_mode, saves_through_hooks

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
OF_ALL_MODULES = [getattr(torchs_module, f"_global{kind}") for kind in HOOKS]
SCALARS = frozenset((bool, int, float, str))
LOOKED_UP = frozenset((*SCALARS, FunctionType, MethodType, BuiltinFunctionType, partial))  # compared as they are
OTHER = "something else, such as a tensor, whose address is looked at"
TORCHS = frozenset(vars(nn.Module()))  # attributes of every module


class Watchpoints:
    """Checks whether something watches a step, and which Python values and tensors the step depends on.

    The places to check are collected once, because finding them takes a tenth of a step on a GPU.

    Args:
        trainer: Trainer of the training. A callback may define `watches_step()`, which returns whether the current
            step must run eagerly for it.
        module: Module of the training.
        networks: Modules that a step runs, without their submodules.
    """

    def __init__(self, trainer: Trainer, module: LightningModule, networks: Sequence[nn.Module]) -> None:
        inner = [part for network in networks for part in network.modules()]
        groups = [group for part in inner for group in (part._parameters, part._buffers)]
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]  # Lightning sets it from outside
        self.watches = [callback.watches_step for callback in callbacks if hasattr(callback, "watches_step")]
        self.hooks = OF_ALL_MODULES + [getattr(part, kind) for part in (module, *inner) for kind in HOOKS]
        self.networks = [*networks]
        self.parts = [(part._modules, name) for part in inner for name in part._modules]
        self.layers = [part for part in inner if isinstance(part, Recurrent)]
        self.tensors = [(group, name) for group in groups for name, tensor in group.items() if tensor is not None]
        self.attributes = [vars(part) for part in inner]
        self.numbers = [(of, name) for of in self.attributes for name, value in of.items() if type(value) in LOOKED_UP]
        own = [vars(part) for part in inner if not type(part).__module__.startswith("torch.")]
        self.others = [
            (of, name)
            for of in own
            for name, value in of.items()
            if name not in TORCHS and type(value) not in LOOKED_UP and _copied(value) is not OTHER
        ]

    def watched(self) -> bool:
        """Whether a callback, a hook, a mode of torch or `seqsum.trace` watches the current step."""
        return (
            has_dispatch_mode()
            or has_function_mode()
            or saves_through_hooks()
            or any(self.hooks)
            or any(watches() for watches in self.watches)
            or any(layer.recorder is not None for layer in self.layers)
            or any(has_hooks(group.get(name)) for group, name in self.tensors)
        )

    def fingerprint(self) -> Any:
        """Return what a graph holds fixed: modules, their numbers, modes and functions, tensor addresses and
        `requires_grad`.
        """
        numbers = [of.get(name) for of, name in self.numbers]  # most of them, so they are only looked up
        numbers += [_copied(of.get(name)) for of, name in self.others]
        tensors = [group.get(name) for group, name in self.tensors]
        places = [tensor is not None and (tensor.data_ptr(), tensor.requires_grad) for tensor in tensors]
        return numbers, places, self.networks + [of.get(name) for of, name in self.parts]

    def values(self) -> Iterator[Any]:
        """Yield the values of all attributes of the modules, which may be generators of random numbers."""
        return (value for of in self.attributes for value in of.values())

    def put_back(self, fingerprint: Any) -> None:
        """Restore numbers and modes from a fingerprint: a failed capture ran the Python code, but not the step."""
        for (of, name), number in zip(self.numbers + self.others, fingerprint[0], strict=True):
            if number is not OTHER:
                of[name] = number.copy() if isinstance(number, list | dict) else number


def _copied(value: Any) -> Any:
    """Return a number, text or None, a tuple of these, or a copy of a list or dict of these; for all else `OTHER`."""
    if isinstance(value, list | tuple | dict):
        inner = value.values() if isinstance(value, dict) else value
        plain = all(type(each) in SCALARS or isinstance(each, np.generic) for each in inner)
        return OTHER if not plain else value if isinstance(value, tuple) else value.copy()
    return value if value is None or type(value) in SCALARS or isinstance(value, np.generic) else OTHER


def has_hooks(weight: Tensor | None) -> bool:
    """Whether a weight has hooks on its gradient."""
    return weight is not None and bool(weight._backward_hooks or weight._post_accumulate_grad_hooks)
