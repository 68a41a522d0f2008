"""Before a training is timed: it must compute what its rival computes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from seqsum.benchmarks.precision import float32_products
from seqsum.data.base import Batch
from seqsum.module import SequenceModule

TOLERANCE = 1e-4  # of loss and predictions
GRADIENT_TOLERANCE = 1e-3


class Numbers(NamedTuple):
    """What a training step computes from one batch, with the batch's own statistics.

    Attributes:
        loss: A scalar.
        predictions: Running sums, `(B, T)`.
        gradients: One of each weight, in the order of `parameters()`, not clipped.
    """

    loss: Tensor
    predictions: Tensor
    gradients: list[Tensor]


def compute_numbers(module: SequenceModule, batch: Batch) -> Numbers:
    """Of a module in training mode, moved to the batch's device, in full float32: without TensorFloat-32."""
    parameters = list(module.to(batch.inputs.device).train().parameters())
    with float32_products("ieee"):
        outputs = module(batch)  # (B, T, 1)
        loss = module.objective.loss(outputs, batch)
        gradients = torch.autograd.grad(loss, parameters)
    return Numbers(loss.detach(), outputs.detach().squeeze(-1), list(gradients))


def check_same_numbers(name: str, ours: Numbers, theirs: Numbers) -> None:
    """Raise an AssertionError, which says what differs and by how much, unless a contestant's numbers are its rival's.

    Differences are norms, relative to the rival's; for gradients at least to a thousandth of the largest:
    a bias that a batch normalisation follows has none but rounding.
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
