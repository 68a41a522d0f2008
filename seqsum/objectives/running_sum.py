"""The main experiment's objective: regression of the running sum at every step."""

from __future__ import annotations

import math
from typing import Literal

from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MetricCollection

from seqsum.data import DigitSums
from seqsum.data.base import Batch, SequenceData
from seqsum.data.sums import increments
from seqsum.errors import check_choice
from seqsum.figures.page import Section
from seqsum.objectives import captions
from seqsum.objectives.base import Objective
from seqsum.objectives.evaluation import Evaluation, Look, Prediction, Shown
from seqsum.objectives.masks import at_least_float32, masked_mean, without_masked
from seqsum.objectives.metrics import StepMean, collect
from seqsum.objectives.running_sum_shown import draw_sums, report_sums, show_sums

Monitor = Literal["exact_final", "exact_step", "mae", "loss"]


class RunningSum(Objective):
    """Regression of the running sum at every step, by smooth L1 loss of the sums and of their increments.

    Smooth L1 is robust: for an ambiguous digit, squared error is least at the mean of its two readings, which is
    always wrong; absolute error is least at their median, which may be right. The loss of the increments tells each
    step its own digit, free of earlier mistakes.

    Args:
        beta: Error below which smooth L1 is quadratic (Girshick, 2015), in units of the sum; `inf` gives
            squared error.
        increment_weight: Weight of the increments' loss relative to the loss of the sums.
        monitor: The validation's metric that selects the best checkpoint. Few sequences are long, so where they are,
            `mae` tells epochs apart that end in as many right sums.
    """

    output_size = 1

    def __init__(self, beta: float = 0.1, increment_weight: float = 1.0, monitor: Monitor = "exact_final") -> None:
        super().__init__()
        check_choice("monitor", monitor, Monitor)
        self.monitor = f"val/{monitor}"
        self.monitor_mode = "max" if monitor.startswith("exact") else "min"
        if not beta >= 0:  # NaN neither
            raise ValueError(f"`beta` (={beta}) must be at least 0")
        if not increment_weight >= 0:
            raise ValueError(f"`increment_weight` (={increment_weight}) must be at least 0")
        self.beta = beta
        self.increment_weight = increment_weight

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Compute the mean loss over valid steps: outputs `(B, T, 1)`, targets `(B, T)` -> scalar."""
        self.check_outputs(outputs, batch)
        mask = batch.scored
        sums = at_least_float32(without_masked(outputs, mask).squeeze(-1))  # (B, T)
        targets = without_masked(batch.targets, mask)
        of_sums = self._robust(sums, targets)
        of_increments = self._robust(increments(sums, mask), increments(targets, mask))
        return masked_mean(of_sums + self.increment_weight * of_increments, mask)

    def _robust(self, predictions: Tensor, targets: Tensor) -> Tensor:
        if math.isinf(self.beta):
            return F.mse_loss(predictions, targets, reduction="none")
        return F.smooth_l1_loss(predictions, targets, beta=self.beta, reduction="none")

    def metrics(self) -> MetricCollection:
        return collect({"exact_step": ExactStep(), "exact_final": ExactStep(last=1), "mae": MeanAbsoluteError()})

    def answers(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the running sums, rounded."""
        return at_least_float32(outputs.squeeze(-1)).round()

    def describe(self, data: SequenceData) -> str:
        """Say in a sentence what a network was trained for."""
        if not isinstance(data, DigitSums):
            return super().describe(data)
        return f"Trained on {data.dataset} digits to say {captions.describe_sums(data.operation)}"

    def figures(self, evaluation: Evaluation) -> dict[str, Figure]:
        """See `draw_sums`."""
        return draw_sums(evaluation)

    def report(self, evaluation: Evaluation, look: Look) -> list[Section]:
        """See `report_sums`."""
        return report_sums(evaluation, look) or super().report(evaluation, look)

    def show(self, prediction: Prediction) -> Shown:
        """See `show_sums`."""
        return show_sums(prediction) or super().show(prediction)


class ExactStep(StepMean):
    """Share of steps whose rounded running sum is right."""

    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return at_least_float32(outputs.squeeze(-1)).round() == targets


class MeanAbsoluteError(StepMean):
    """Mean absolute error of a regression, without rounding: of running sums or next samples."""

    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (at_least_float32(outputs.squeeze(-1)) - targets).abs()
