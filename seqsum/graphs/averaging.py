"""Averages gradients over several processes between the graphs of a training step, in place of DDP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from seqsum.errors import InputError

ALIGNMENT = 64  # elements; kernels for many tensors compute other roundings where a tensor is not aligned


class PackedGradients:
    """The gradients of some weights in one tensor for each type, so that averaging them takes one message for each.

    Args:
        weights: The weights.
        group: The processes to average over.

    Attributes:
        weights: The same weights.
        views: The place of each weight's gradient, with the weight's shape and strides.
    """

    def __init__(self, weights: Sequence[nn.Parameter], group: distributed.ProcessGroup) -> None:
        self.weights = weights
        self._group = group
        self._packs: list[Tensor] = []
        places: dict[int, Tensor] = {}
        for kind in dict.fromkeys((weight.dtype, weight.device) for weight in weights):
            members = [weight for weight in weights if (weight.dtype, weight.device) == kind]
            sizes = [-(-weight.numel() // ALIGNMENT) * ALIGNMENT for weight in members]
            pack = torch.zeros(sum(sizes), dtype=kind[0], device=kind[1])
            for weight, part in zip(members, pack.split(sizes), strict=True):
                places[id(weight)] = part.as_strided(weight.shape, torch.empty_like(weight, device="meta").stride())
            self._packs.append(pack)
        self.views = [places[id(weight)] for weight in weights]

    def pack(self) -> None:
        """Copy the weights' gradients into the places, divided by the number of processes.

        DDP also divides before it adds, so roundings are the same.
        """
        torch._foreach_copy_(self.views, self._gradients())
        for pack in self._packs:
            pack.mul_(1 / self._group.size())

    def average(self) -> None:
        """Add what all processes have packed. Each must call this, in every step."""
        for pack in self._packs:
            distributed.all_reduce(pack, group=self._group)

    def unpack(self) -> None:
        """Copy the places' content back into the weights' gradients."""
        torch._foreach_copy_(self._gradients(), self.views)

    def give_views(self) -> None:
        """Make the places themselves the weights' gradients."""
        for weight, view in zip(self.weights, self.views, strict=True):
            weight.grad = view

    def _gradients(self) -> list[Tensor]:
        return [cast("Tensor", weight.grad) for weight in self.weights]


def of_any_process(obstacle: str | None, wrapped: DistributedDataParallel) -> str | None:
    """Return the obstacle of the first process that has one, in every process; each waits for the others."""
    found: list[str | None] = [None] * wrapped.process_group.size()
    distributed.all_gather_object(found, obstacle, wrapped.process_group)
    return next((one for one in found if one is not None), None)


class Averaging:
    """Averages gradients over all processes after each backward pass, in place of DistributedDataParallel.

    DDP does so within the backward pass, by hooks that a graph would have to capture together with their messages.
    Here the messages of a step are the same whether it runs as a graph or eagerly. So one process may run a step
    eagerly, because its batch is shorter or a callback watches it, while others run it as a graph. They need only agree
    to average in this way at all, see `of_any_process`.

    DDP still wraps the module. It sends the buffers of the first process to all before each step, and averages in
    steps that accumulate gradients.

    Args:
        wrapped: The module, wrapped by DDP.
        module: The module itself.
    """

    def __init__(self, wrapped: DistributedDataParallel, module: nn.Module) -> None:
        self._wrapped, self._module = wrapped, module
        self._replaces_ddp = False
        self._packed: PackedGradients | None = None

    def begin_step(self, accumulated: int) -> None:
        """Take over from DDP, or hand back if a step accumulates gradients of several batches; call this before it."""
        self._replaces_ddp = accumulated == 1
        self._wrapped.require_backward_grad_sync = not self._replaces_ddp

    def places(self) -> PackedGradients:
        """Return the places for the gradients of all weights that have some at present."""
        weights = [weight for weight in self._module.parameters() if weight.requires_grad]
        before = self._packed.weights if self._packed else []
        if len(weights) != len(before) or any(one is not other for one, other in zip(weights, before, strict=True)):
            self._packed = PackedGradients(weights, self._wrapped.process_group)
        return cast("PackedGradients", self._packed)

    def average(self, packed: PackedGradients | None) -> None:
        """Average the gradients of this step.

        Args:
            packed: Where the step's graph has packed them; None if it ran eagerly.

        Raises:
            InputError: A weight has no gradient.
        """
        if not self._replaces_ddp:
            return
        if packed:
            packed.average()
        else:
            self._check_gradients()
            packed = self.places()
            packed.pack()
            packed.average()
            packed.unpack()
        self._wrapped.require_forward_param_sync = True  # DDP sends no buffers after a step that it didn't average

    def _check_gradients(self) -> None:
        for name, weight in self._module.named_parameters():
            if weight.requires_grad and weight.grad is None:
                raise InputError(
                    f"{name} has no gradient, and processes can't average it: the network doesn't use this weight. "
                    "`--trainer.strategy=ddp_find_unused_parameters_true` allows that"
                )
