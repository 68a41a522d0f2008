"""A curve's next sample, at every step; and the curve's continuation, from predictions alone."""

from __future__ import annotations

from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import Metric, MetricCollection

from seqsum.data.base import Batch
from seqsum.errors import InputError
from seqsum.networks.free_run import free_run
from seqsum.networks.windows import Stateful
from seqsum.objectives.base import Objective
from seqsum.objectives.evaluation import Evaluation, Prediction, Shown
from seqsum.objectives.masks import masked_mean, without_masked
from seqsum.objectives.metrics import StepMean
from seqsum.objectives.next_sample_shown import draw_continuations, show_continuations
from seqsum.objectives.running_sum import MeanAbsoluteError


class NextSample(Objective):
    """Squared error of the next sample. `predict` continues a curve, each prediction being the next input.

    Args:
        horizon: Steps by which `predict` continues a curve.

    Raises:
        ValueError: A horizon below one.
    """

    output_size = 1
    monitor = "val/mse"
    monitor_mode = "min"

    def __init__(self, horizon: int = 100) -> None:
        super().__init__()
        if horizon < 1:
            raise ValueError(f"`horizon` (={horizon}) must be at least 1")
        self.horizon = horizon

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Outputs `(B, T, 1)`, targets `(B, T)` -> scalar, the mean over valid steps."""
        samples = self.answers(without_masked(outputs, batch.scored), batch)
        targets = without_masked(batch.targets, batch.scored)
        return masked_mean(F.mse_loss(samples, targets, reduction="none"), batch.scored)

    def metrics(self) -> MetricCollection:
        members: dict[str, Metric | MetricCollection] = {"mse": MeanSquaredError(), "mae": MeanAbsoluteError()}
        # no compute groups: they would merge two metrics whose sums happen to agree after the first batch
        return MetricCollection(members, compute_groups=False)

    def answers(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The next sample at each step."""
        return outputs.squeeze(-1).float()

    def predict(self, network: nn.Module, batch: Batch) -> Tensor:
        """Samples `(B, T, 1)` -> the `horizon` samples after them, `(B, horizon)`.

        Raises:
            InputError: The network can't go on from a state, since it has no `run`.
        """
        if not isinstance(network, Stateful):
            raise InputError(f"{type(network).__name__} can't go on with a curve: it has no `run`")
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
        return (outputs.squeeze(-1).float() - targets).square()
