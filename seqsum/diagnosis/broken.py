"""Parts that are broken on purpose, for the examples in `configs/broken/`.

Each contains a common mistake. Never use them for anything else.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from seqsum.data import DigitSums
from seqsum.data.base import Batch
from seqsum.data.digit_sums import DEVIATION, MEAN
from seqsum.data.index_tables import IndexBatch
from seqsum.networks import Encoder
from seqsum.objectives import RunningSum, masked_mean
from seqsum.recurrent import RNNCell


class StandardNormalRNNCell(RNNCell):
    """Bad initialisation: recurrent weights have standard deviation 1 for any number of units.

    With ReLU, a state of `H` units grows by a factor of about `sqrt(H / 2)` at each step, and so does its gradient.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, nonlinearity="relu")

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.normal_(self.weight_hh)


class UnscaledDigits(DigitSums):
    """Unscaled input: pixels as in the files, 0 to 255."""

    def gather(self, batch: IndexBatch) -> Batch:
        scaled = super().gather(batch)
        return scaled._replace(inputs=(scaled.inputs * DEVIATION + MEAN) * 255)


class DenseEncoder(Encoder):
    """Three dense layers without normalisation, which would compensate for mistakes before it.

    Args:
        activation: Activation of the hidden layers. The output is linear.
        weight_spread: Standard deviation of the hidden layers' initial weights; None for torch's initialisation, which
            depends on the number of inputs. 1 drives a sigmoid into saturation.
        hidden_size: Units of each hidden layer.
        output_size: Features per image, `F`.
    """

    def __init__(
        self,
        activation: Literal["relu", "sigmoid"] = "relu",
        weight_spread: float | None = None,
        hidden_size: int = 128,
        output_size: int = 128,
    ) -> None:
        super().__init__()
        self.output_size = output_size
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(28 * 28, hidden_size),
            nn.ReLU() if activation == "relu" else nn.Sigmoid(),
            nn.Linear(hidden_size, hidden_size),
            nn.ReLU() if activation == "relu" else nn.Sigmoid(),
            nn.Linear(hidden_size, output_size),
        )
        if weight_spread is not None:
            for layer in self.layers[:-1]:
                if isinstance(layer, nn.Linear):
                    nn.init.normal_(layer.weight, std=weight_spread)

    def forward(self, images: Tensor) -> Tensor:
        """Images `(N, 1, 28, 28)` -> features `(N, F)`."""
        return self.layers(images)


class BinarySum(RunningSum):
    """Wrong loss: binary cross-entropy, which needs targets from 0 to 1, for sums outside that range."""

    def __init__(self) -> None:
        super().__init__()

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        logits = outputs.squeeze(-1).float()  # (B, T)
        of_steps = F.binary_cross_entropy_with_logits(logits, batch.targets.float(), reduction="none")
        return masked_mean(of_steps, batch.scored)

    def answers(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Round the probabilities."""
        return outputs.squeeze(-1).float().sigmoid().round()
