"""What a step does in training alone, behind `if self.training`: all other checks look at evaluation."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqsum.chance import HostChance
from seqsum.check.effects import numbers_in
from seqsum.check.gradients import OneStep
from seqsum.check.recurrence import CLOSE, gap
from seqsum.check.registry import check
from seqsum.check.result import Fault
from seqsum.check.subject import Subject

SCALES = (1, 10, 1000)  # of inputs and states: most clamps lie at 1 to 50
# in the order of `SHARED` in chance.py
SEEDS: dict[str, Callable[[int], Any]] = {
    "Python": random.seed,
    "NumPy": np.random.seed,
    "torch": torch.default_generator.manual_seed,
}
PLACES = r"self\.training|\.training\b"


@check("training computes the same", needs=("gradients_right", "rows_independent", "changes_nothing"))
def same_in_training(subject: Subject) -> str | None:
    """Where a step draws no random numbers in training, it gives the numbers and the gradients of evaluation."""
    _leave_seed(subject)
    step = OneStep(subject, training=True)
    chance = HostChance(value for part in step.cell.modules() for value in vars(part).values())
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
    for scale in SCALES:
        came, value = (OneStep(subject, training, scale)().detach() for training in (True, False))
        if gap(came, value) > CLOSE * max(1, abs(value.item())) and not came.isnan() & value.isnan():
            raise Fault(
                "in training a step computes something else than in evaluation, and draws no random numbers",
                expected="the same numbers: only dropout, noise and the like make training another",
                came=f"a difference of {gap(came, value):.3g}",
                example=example + ("" if scale == 1 else f", from inputs and states times {scale}"),
                where=_where(subject),
                status="noted" if subject.like is None else "failed",
            )
    _, expected = _differentiate(OneStep(subject))
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


def _leave_seed(subject: Subject) -> None:
    """Say so, where a step sets a seed: random numbers after it are the same whatever was drawn before."""
    chance = HostChance()

    def run_from(seed: int) -> HostChance:
        for set_seed in SEEDS.values():
            set_seed(seed)
        OneStep(subject, training=True)()
        return HostChance()

    ended, _ = run_from(1), run_from(2)
    unmoved = [whose for whose, moved in zip(SEEDS, ended.moved(), strict=True) if not moved]
    chance.put_back()
    if unmoved:
        raise Fault(
            f"a step sets the seed of {unmoved[-1]}'s random numbers",
            expected="one seed for a whole program: else dropout is the same at every step",
            came="the same random numbers after a step, whatever the seed before it",
            example="one step in training, after one seed and after another",
            where=subject.find_in_step("seed") or subject.where(),
        )


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
