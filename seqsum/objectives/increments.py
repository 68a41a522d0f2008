"""Reading digits without counting: each digit is what the running sum changes by."""

from __future__ import annotations

from matplotlib.figure import Figure
from torch import Tensor
from torchmetrics import MetricCollection

from seqsum.data import DigitSums
from seqsum.data.base import Batch, SequenceData
from seqsum.data.sums import increments, running_targets
from seqsum.figures import plot_confusion
from seqsum.objectives.base import Objective
from seqsum.objectives.classification import Accuracy, Classification
from seqsum.objectives.evaluation import Evaluation, Prediction, Shown
from seqsum.objectives.masks import without_masked
from seqsum.objectives.metrics import collect


class Increments(Classification):
    """Classification of each step's digit, which the running sums tell: `d_t = |y_t − y_{t−1}|`.

    It trains a network that reads and does not count, on the data of `RunningSum`; a network that counts may then start
    from its encoder.

    Args:
        num_classes: Number of classes, `C`: digits from 0 to `C − 1`.
    """

    monitor = "val/loss"  # of readers that misread as few digits, it tells which is surer
    monitor_mode = "min"

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__(num_classes, scored="every")

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Compute the mean cross-entropy from outputs `(B, T, C)` and running sums `(B, T)`: a scalar, in nats."""
        return super().loss(outputs, batch._replace(targets=digits_added(batch.targets, batch.scored)))

    def metrics(self) -> MetricCollection:
        return collect({"accuracy": ReadingAccuracy()})

    def describe(self, data: SequenceData) -> str:
        """Say in a sentence what a network was trained for."""
        return f"Trained on {data.dataset} digits to say each digit"

    def figures(self, evaluation: Evaluation) -> dict[str, Figure]:
        """Draw which digit is taken for which."""
        data = evaluation.data
        if not isinstance(data, DigitSums):
            return {}
        outputs, targets, mask = evaluation.join()
        sums = running_targets(outputs.argmax(-1), data.operation)
        return {"confusion": plot_confusion(sums, targets, data.operation, mask)}

    def show(self, prediction: Prediction) -> Shown:
        """Show the digit at every step."""
        return Objective.show(self, prediction)


class ReadingAccuracy(Accuracy):
    """Share of steps whose most probable class is the digit that the running sum changed by."""

    def update(self, outputs: Tensor, targets: Tensor, mask: Tensor | None = None) -> None:
        """Add outputs `(B, T, C)` and running sums `(B, T)`."""
        super().update(outputs, digits_added(targets, mask), mask)


def digits_added(sums: Tensor, mask: Tensor | None = None) -> Tensor:
    """Compute the digit that each step adds or subtracts from running sums `(B, T)`: classes `(B, T)`, int64."""
    return increments(without_masked(sums, mask), mask).abs().round().long()
