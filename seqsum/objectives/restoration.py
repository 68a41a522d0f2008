"""Restoration of damaged images, pixel by pixel."""

from __future__ import annotations

from typing import Literal

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MetricCollection

from seqsum.data.base import Batch, SequenceData
from seqsum.errors import check_choice
from seqsum.figures.page import Section
from seqsum.objectives import captions
from seqsum.objectives.base import Objective
from seqsum.objectives.convolutions import describe_convolutions
from seqsum.objectives.evaluation import Evaluation, Look, Prediction, Shown
from seqsum.objectives.masks import at_least_float32, masked_mean, scored_steps, wide, without_masked
from seqsum.objectives.metrics import Sums, collect
from seqsum.objectives.restoration_shown import draw_restored, show_restored

PixelLoss = Literal["cross_entropy", "squared_error"]


class Restoration(Objective):
    """Loss of each scored pixel, whose true value is from 0 to 1.

    The loss brings the network's last activation with it, so that both fit. `cross_entropy` of a sigmoid takes a pixel
    for the probability of ink; its gradient does not vanish however wrong the pixel is, which that of the squared
    error of a sigmoid does. `squared_error` goes without an activation, for images with many greys.

    Args:
        loss: `cross_entropy` or `squared_error`.

    Raises:
        ValueError: `loss` is unknown.
    """

    output_size = 1
    monitor = "val/mse"
    monitor_mode = "min"

    def __init__(self, loss: PixelLoss = "cross_entropy") -> None:
        super().__init__()
        check_choice("loss", loss, PixelLoss)
        self.sigmoid = loss == "cross_entropy"

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Compute the mean over scored pixels from outputs `(B, S, 1)` and pixels `(B, S)`: a scalar."""
        self.check_outputs(outputs, batch)
        lossy = F.binary_cross_entropy_with_logits if self.sigmoid else F.mse_loss
        outputs, targets = without_masked(outputs, batch.scored), without_masked(batch.targets, batch.scored)
        pixels = at_least_float32(outputs.squeeze(-1))
        of_pixels = lossy(pixels, targets.to(pixels), reduction="none")
        return masked_mean(of_pixels, batch.scored)

    def metrics(self) -> MetricCollection:
        return collect({"mse": PixelError(self.sigmoid)})

    def answers(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the restored images' pixels, `(B, S)`; where pixels were not damaged, the given ones."""
        restored = restored_pixels(outputs, self.sigmoid)
        return restored if batch.target_mask is None else restored.where(batch.target_mask, batch.targets)

    def describe(self, data: SequenceData) -> str:
        """Say in a sentence what a network was trained for."""
        return f"Trained on {data.dataset} images to restore them"

    def figures(self, evaluation: Evaluation) -> dict[str, Figure]:
        """See `draw_restored`."""
        return draw_restored(evaluation, self.answers)

    def report(self, evaluation: Evaluation, look: Look) -> list[Section]:
        """Make the page of a test: restored images, and what the convolutions look for and find."""
        sections = captions.sections(self.figures(evaluation))
        return sections if look.convolutions is not None else sections + describe_convolutions(evaluation)

    def show(self, prediction: Prediction) -> Shown:
        """See `show_restored`."""
        return show_restored(prediction) or super().show(prediction)


class PixelError(Sums):
    """Mean squared error of the scored pixels, whose values are from 0 to 1.

    Args:
        sigmoid: Whether outputs are logits.
    """

    def __init__(self, sigmoid: bool) -> None:
        super().__init__(by_step=False)
        self.sigmoid = sigmoid

    def update(self, outputs: Tensor, targets: Tensor, mask: Tensor | None = None) -> None:
        """Add outputs `(B, S, 1)`, pixels `(B, S)`, and which of them are scored."""
        errors = (restored_pixels(outputs.detach(), self.sigmoid) - at_least_float32(targets)).square()
        scored = scored_steps(targets, mask)
        total = errors.masked_fill(~scored, 0).sum(dtype=wide(errors))  # not times 0, since errors may be NaN
        self.add(total, scored.sum(dtype=wide(errors)))


def restored_pixels(outputs: Tensor, sigmoid: bool) -> Tensor:
    """Turn outputs `(B, S, 1)` into pixels `(B, S)`, float."""
    pixels = at_least_float32(outputs.squeeze(-1))
    return torch.sigmoid(pixels) if sigmoid else pixels
