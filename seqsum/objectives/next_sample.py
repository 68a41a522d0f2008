"""A curve's next sample, at every step; and the curve's continuation, from predictions alone."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric, MetricCollection

from seqsum.networks.free_run import free_run
from seqsum.networks.sequence import SequenceNetwork
from seqsum.objectives.base import Objective, masked_mean
from seqsum.objectives.metrics import StepMean
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

    def loss(self, outputs: Tensor, targets: Tensor, mask: Tensor | None = None) -> Tensor:
        """Outputs `(B, T, 1)`, targets `(B, T)`, mask `(B, T)` -> scalar, the mean over valid steps."""
        return masked_mean(F.mse_loss(self.answers(outputs), targets, reduction="none"), mask)

    def metrics(self) -> MetricCollection:
        members: dict[str, Metric | MetricCollection] = {"mse": MeanSquaredError(), "mae": MeanAbsoluteError()}
        # no compute groups: they would merge two metrics whose sums happen to agree after the first batch
        return MetricCollection(members, compute_groups=False)

    def answers(self, outputs: Tensor) -> Tensor:
        """The next sample at each step."""
        return outputs.squeeze(-1).float()

    def predict(self, network: SequenceNetwork, inputs: Tensor) -> Tensor:
        """Samples `(B, T, 1)` -> the `horizon` samples after them, `(B, horizon)`."""
        return free_run(network, inputs, self.horizon)


class MeanSquaredError(StepMean):
    """Mean squared error of the next sample."""

    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs.squeeze(-1).float() - targets).square()
