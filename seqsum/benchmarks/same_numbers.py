"""Checks, before a training is timed, that it computes the same numbers as its rival."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from seqsum.benchmarks.precision import float32_products
from seqsum.data.base import Batch
from seqsum.module import SequenceModule

TOLERANCE = 1e-4  # for loss and predictions
GRADIENT_TOLERANCE = 1e-3


class Numbers(NamedTuple):
    """Results of a training step on one batch, with batch statistics in normalisation.

    Attributes:
        loss: A scalar.
        predictions: The network's outputs: running sums `(B, T)`, or logits of reviews `(B, 1)`.
        gradients: Gradient of each weight, in the order of `parameters()`, not clipped.
    """

    loss: Tensor
    predictions: Tensor
    gradients: list[Tensor]


def compute_numbers(module: SequenceModule, batch: Batch) -> Numbers:
    """Compute a module's numbers in training mode on the batch's device, in full float32, without TensorFloat-32."""
    parameters = list(module.to(batch.inputs.device).train().parameters())
    with float32_products("ieee"):
        outputs = module(batch)  # (B, T, 1)
        loss = module.objective.loss(outputs, batch)
        gradients = torch.autograd.grad(loss, parameters)
    return Numbers(loss.detach(), outputs.detach().squeeze(-1), list(gradients))


def check_same_numbers(name: str, ours: Numbers, theirs: Numbers) -> None:
    """Raise an AssertionError, which says what differs and by how much, unless the numbers agree with the rival's.

    Differences are norms relative to the rival's norm. For gradients, this is at least a thousandth of the largest
    one, because the gradient of a bias before batch normalisation is nothing but rounding.
    """
    floor = max(gradient.norm().item() for gradient in theirs.gradients) / 1000
    pairs = [("loss", ours.loss, theirs.loss, 0.0, TOLERANCE)]
    pairs += [("predictions", ours.predictions, theirs.predictions, 0.0, TOLERANCE)]
    for index, (our, their) in enumerate(zip(ours.gradients, theirs.gradients, strict=True)):
        pairs += [(f"gradient {index} {tuple(their.shape)}", our, their, floor, GRADIENT_TOLERANCE)]
    for what, our, their, least, tolerance in pairs:
        if our.shape != their.shape:
            raise AssertionError(
                f"{name} differs from the rival in {what}: {tuple(our.shape)}, not {tuple(their.shape)}"
            )
        difference = ((our - their).norm() / their.norm().clamp(min=least)).item()
        if not difference <= tolerance:
            raise AssertionError(f"{name} differs from the rival in {what} by {difference:.2g} of it")
