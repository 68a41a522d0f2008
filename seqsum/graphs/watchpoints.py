"""Where Python looks on at a training step, or changes what it does: a graph knows nothing of that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn

from seqsum.recurrent import Recurrent

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
SCALARS = frozenset((bool, int, float, str))


class Watchpoints:
    """Looks whether something watches a step, and what the step takes from Python.

    The places are collected once: to find them takes as long as a tenth of a step on a GPU.

    Args:
        trainer: Its callbacks may have a method `watches_step()`, whether they must see the present step run.
        module: Of the training.
        networks: The modules that a step runs, without those inside them.
    """

    def __init__(self, trainer: Trainer, module: LightningModule, networks: Sequence[nn.Module]) -> None:
        inner = [part for network in networks for part in network.modules()]
        groups = [group for part in inner for group in (part._parameters, part._buffers)]
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]  # Lightning sets it from outside
        self.watches = [callback.watches_step for callback in callbacks if hasattr(callback, "watches_step")]
        self.hooks = [getattr(part, kind) for part in (module, *inner) for kind in HOOKS]
        self.layers = [part for part in inner if isinstance(part, Recurrent)]
        self.tensors = [(group, name) for group in groups for name, tensor in group.items() if tensor is not None]
        attributes = [vars(part) for part in inner]
        self.numbers = [(of, name) for of in attributes for name, value in of.items() if type(value) in SCALARS]

    def watched(self) -> bool:
        """Whether something looks on at this very step: a callback, a hook, or `seqsum.trace`."""
        return (
            any(self.hooks)
            or any(watches() for watches in self.watches)
            or any(layer.recorder is not None for layer in self.layers)
            or any(has_hooks(group.get(name)) for group, name in self.tensors)
        )

    def fingerprint(self) -> Any:
        """What a graph would go on with: numbers and modes of modules, where tensors lie, which of them learn."""
        numbers = [of.get(name) for of, name in self.numbers]
        tensors = [group.get(name) for group, name in self.tensors]
        return numbers, [tensor is not None and (tensor.data_ptr(), tensor.requires_grad) for tensor in tensors]

    def put_back(self, fingerprint: Any) -> None:
        """Let the numbers and modes be those of a fingerprint: a capture runs the Python, but not the step."""
        for (of, name), number in zip(self.numbers, fingerprint[0], strict=True):
            of[name] = number


def has_hooks(weight: Tensor | None) -> bool:
    """Whether a hook waits for a weight's gradient."""
    return weight is not None and bool(weight._backward_hooks or weight._post_accumulate_grad_hooks)
