"""Prediction of a curve's next sample at every step, and continuation of curves by predictions alone."""

from __future__ import annotations

from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MetricCollection

from seqsum.data.base import Batch
from seqsum.errors import InputError, check_sizes
from seqsum.networks.free_run import free_run
from seqsum.networks.windows import Stateful
from seqsum.objectives.base import Objective
from seqsum.objectives.evaluation import Evaluation, Prediction, Shown
from seqsum.objectives.masks import at_least_float32, masked_mean, without_masked
from seqsum.objectives.metrics import StepMean, collect
from seqsum.objectives.next_sample_shown import draw_continuations, show_continuations
from seqsum.objectives.running_sum import MeanAbsoluteError


class NextSample(Objective):
    """Squared error of the next sample. `predict` continues a curve: each prediction is the next input.

    Args:
        horizon: Number of steps by which `predict` continues a curve.

    Raises:
        ValueError: The horizon is below one.
    """

    output_size = 1
    monitor = "val/mse"
    monitor_mode = "min"

    def __init__(self, horizon: int = 100) -> None:
        super().__init__()
        check_sizes(horizon=horizon)
        self.horizon = horizon

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Compute the mean squared error over valid steps: outputs `(B, T, 1)`, targets `(B, T)` -> scalar."""
        self.check_outputs(outputs, batch)
        samples = self.answers(without_masked(outputs, batch.scored), batch)
        targets = without_masked(batch.targets, batch.scored)
        return masked_mean(F.mse_loss(samples, targets, reduction="none"), batch.scored)

    def metrics(self) -> MetricCollection:
        return collect({"mse": MeanSquaredError(), "mae": MeanAbsoluteError()})

    def answers(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the predicted next sample at each step."""
        return at_least_float32(outputs.squeeze(-1))

    def predict(self, network: nn.Module, batch: Batch) -> Tensor:
        """Continue samples `(B, T, 1)` by `horizon` samples, `(B, horizon)`.

        Raises:
            InputError: The network has no `run`, so it can't continue from a state.
        """
        if not isinstance(network, Stateful):
            raise InputError(f"{type(network).__name__} can't continue a curve: it has no `run`")
        return free_run(network, batch.inputs, self.horizon)

    def figures(self, evaluation: Evaluation) -> dict[str, Figure]:
        """See `draw_continuations`."""
        return draw_continuations(evaluation, self.horizon)

    def show(self, prediction: Prediction) -> Shown:
        """See `show_continuations`."""
        return show_continuations(prediction)


class MeanSquaredError(StepMean):
    """Mean squared error of the next sample."""

    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (at_least_float32(outputs.squeeze(-1)) - targets).square()
