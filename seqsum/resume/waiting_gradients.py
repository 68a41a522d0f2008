"""Save and load gradients that were added up and wait for those of further batches."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from torch import Tensor

from seqsum.resume.lightning_state import is_within_batch, waiting_batches
from seqsum.run import module_of


def waiting_gradients(trainer: Trainer, module: LightningModule) -> dict[str, Any] | None:
    """Collect the gradients that wait, added up over all processes; call it in each of them.

    None where nothing waits, where a process has parts of the weights only, as with FSDP, and within a batch after its
    backward pass: its gradients, which would be added once more, are in one place with those that wait.
    """
    whole = isinstance(trainer.strategy, DDPStrategy | SingleDeviceStrategy)
    if waiting_batches(trainer) == 0 or not whole or is_within_batch(trainer, module_of(module).accumulation):
        return None
    weights = {name: weight for name, weight in module.named_parameters() if weight.requires_grad}
    owned = torch.tensor([weight.grad is not None for weight in weights.values()], device=module.device).float()
    having = [count > 0 for count in _add_up(trainer, owned).tolist()]  # a process without rows has none
    found = [(name, weight) for (name, weight), has in zip(weights.items(), having, strict=True) if has]
    parts = [torch.zeros_like(weight) if weight.grad is None else weight.grad.clone() for _, weight in found]
    gradients = {name: _add_up(trainer, part.detach()) for (name, _), part in zip(found, parts, strict=True)}
    terms = module_of(module).accumulation.state()
    return {"of": trainer.accumulate_grad_batches, "gradients": gradients, **terms}


def load_waiting(trainer: Trainer, module: LightningModule, saved: dict[str, Any]) -> None:
    """Give the gradients of all processes to the weights of the first one, and zeros to the others'."""
    weights = dict(module.named_parameters())
    for name, gradient in saved["gradients"].items():
        if name in weights and weights[name].requires_grad:
            given = gradient if trainer.is_global_zero else torch.zeros_like(gradient)
            weights[name].grad = given.to(weights[name], copy=True)
    module_of(module).accumulation.load(saved, module.device)


def fit_waiting(trainer: Trainer, module: LightningModule, saved: dict[str, Any]) -> None:
    """Before the first batch, when a callback too has said how many batches make a step, fit loaded gradients to that.

    Lightning has divided them by the number they were saved with, and drops them if a step begins with this batch.
    """
    if waiting_batches(trainer) == 0:
        module_of(module).accumulation.load({"first": None, "total": None}, module.device)
    elif saved["of"] != trainer.accumulate_grad_batches:
        for name, weight in module.named_parameters():
            if name in saved["gradients"] and weight.grad is not None:
                weight.grad.mul_(saved["of"] / trainer.accumulate_grad_batches)


def _add_up(trainer: Trainer, tensor: Tensor) -> Tensor:
    added: Tensor = trainer.strategy.reduce(tensor, reduce_op="sum")
    return added
