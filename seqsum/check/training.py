"""What a step does in training alone, behind `if self.training`: all other checks look at evaluation."""

from __future__ import annotations

import torch
from torch import Tensor

from seqsum.chance import HostChance
from seqsum.check.effects import numbers_in
from seqsum.check.gradients import OneStep
from seqsum.check.recurrence import CLOSE, gap
from seqsum.check.registry import check
from seqsum.check.result import Fault
from seqsum.check.subject import Subject

PLACES = r"self\.training|\.training\b"


@check("training computes the same", needs=("gradients_right", "rows_independent", "changes_nothing"))
def same_in_training(subject: Subject) -> str | None:
    """Where a step draws no random numbers in training, it gives the numbers and the gradients of evaluation."""
    step, chance = OneStep(subject, training=True), HostChance()
    buffers = [*map(numbers_in, step.cell.buffers())]
    (first, gradients), (second, _) = _differentiate(step), _differentiate(step)
    if chance.has_moved():
        return "not compared, since a step draws random numbers in training"
    if buffers != [*map(numbers_in, step.cell.buffers())]:  # as spectral normalisation does
        return "not compared, since a step changes buffers in training"
    example = "one step on two rows, in training and in evaluation"
    if gap(first, second) > CLOSE:
        raise Fault(
            "in training the cell remembers something from one call to the next",
            expected="what is remembered is in the state, which is given and returned",
            came=f"results that differ by {gap(first, second):.3g}",
            example="the same step twice, in training",
            where=_where(subject),
        )
    value, expected = _differentiate(OneStep(subject))
    if gap(first, value) > CLOSE:
        raise Fault(
            "in training a step computes something else than in evaluation, and draws no random numbers",
            expected="the same numbers: only dropout, noise and the like make training another",
            came=f"a difference of {gap(first, value):.3g}",
            example=example,
            where=_where(subject),
            status="noted" if subject.like is None else "failed",
        )
    for name, gradient in gradients.items():
        if gap(gradient, expected[name]) > CLOSE:
            calls = subject.culprits(training=True)
            raise Fault(
                f"in training the gradient of {name} is wrong{f': {calls[0].reason}' if calls else ''}",
                expected="the gradient in evaluation, which is right",
                came=f"a difference of {gap(gradient, expected[name]):.3g}",
                example=example,
                where=calls[0].where if calls else _where(subject),
            )
    return None


def _where(subject: Subject) -> str:
    return subject.find_in_step(PLACES) or subject.find(PLACES) or subject.where()


def _differentiate(step: OneStep) -> tuple[Tensor, dict[str, Tensor]]:
    """The value of a step, and its gradients by name; zeros where it has none."""
    value, tensors = step(), step.tensors
    found: tuple[Tensor | None, ...] = (None,) * len(tensors)
    if value.requires_grad:
        found = torch.autograd.grad(value, [*tensors.values()], allow_unused=True)
    pairs = zip(tensors.items(), found, strict=True)
    return value.detach(), {name: torch.zeros_like(t) if g is None else g for (name, t), g in pairs}
