"""Accumulate gradients over several batches so that together they give what one batch of all their rows would."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn


def gradients_wait(trainer: Trainer) -> bool:
    """Whether the gradients of the batches so far wait for those of further batches."""
    return trainer.fit_loop._should_accumulate()


class Accumulation:
    """Weighs the mean losses of the batches of one optimizer step by the number of terms in each.

    Lightning adds up the gradients of K mean losses, divided by K, as if all means had the same number of terms, and as
    if the last step of an epoch had K batches too. But masks leave out different numbers of steps.
    """

    def __init__(self) -> None:
        self.first: Tensor | None = None  # terms of the first batch: weights near 1 don't overflow float16
        self.total: Tensor | None = None
        self.done = 0  # batches of the epoch before the one at hand
        self.differentiated = 0  # batches of the epoch that had a backward pass
        self.waiting: Tensor | None = None  # terms of the batch at hand, until its backward pass

    def begin(self, done: int) -> None:
        """Note how many batches of the epoch are done before the next one."""
        self.waiting = None  # of a step before that had no backward pass
        self.done = self.differentiated = done

    def count(self, terms: Tensor) -> None:
        """Note how many terms are in the mean that the next backward pass differentiates.

        Args:
            terms: Scalar, their number, of all processes.
        """
        terms = terms.detach().float()
        self.waiting = terms if self.waiting is None else self.waiting + terms  # a step may have several losses

    def weigh(self, loss: Tensor) -> Tensor:
        """Weigh the loss to differentiate, with all that a `training_step` of the user's own has added to it."""
        self.differentiated = self.done + 1
        terms, self.waiting = self.waiting, None
        if terms is None:
            return loss
        if self.first is None or self.total is None:
            self.first, self.total = terms.clamp(min=1), torch.zeros_like(terms)
        self.total = self.total + terms
        return loss * (terms / self.first)

    def state(self) -> dict[str, Tensor | None]:
        """What batches that wait for further ones have counted, to go on from with `load`."""
        return {"first": self.first, "total": self.total}

    def load(self, state: Mapping[str, Tensor | None], device: torch.device) -> None:
        """Go on from what `state` has returned."""
        first, total = state["first"], state["total"]
        self.first = None if first is None else first.to(device)
        self.total = None if total is None else total.to(device)

    def finish(self, parameters: Iterable[nn.Parameter], batches: int) -> None:
        """Turn the gradients that have been added up into those of the mean over all terms; begin anew.

        Args:
            parameters: Those with gradients.
            batches: The number `K` by which Lightning has divided each loss.
        """
        if self.first is None or self.total is None:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        scale = batches * self.first / self.total.clamp(min=1)
        for gradient in gradients:
            gradient.mul_(scale.to(gradient))
        self.first = self.total = None
