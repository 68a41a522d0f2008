"""A network without memory: each step's output depends on that step alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from seqsum.data.base import Batch
from seqsum.networks.conv_encoder import ConvEncoder
from seqsum.networks.encoders import Encoder
from seqsum.networks.time_distributed import TimeDistributed
from seqsum.networks.weight_starts import WeightStart, start_weights


class StepNetwork(nn.Module):
    """Encodes each step and applies a linear layer, without a recurrence.

    It trains an encoder, from which a network with a recurrence may start, and shows what can be done without memory.

    Args:
        output_size: Outputs per step, `K`. On the command line it follows the data's number of classes, if they know
            it; 10 otherwise.
        encoder: Maps one step's input to `encoder.output_size` features; a `ConvEncoder` by default.
        linear: Whether the head is a linear layer. Otherwise features are the outputs: with the encoder's
            `activation=logits`, its code `k` learns to stand for class `k`, and a choice among the codes is the most
            likely class.
        start: Start of the linear layer's weights, see `start_weights`.

    Raises:
        ValueError: Without a linear layer, the encoder's `output_size` is another; or `start` is unknown.
    """

    follows: ClassVar[Mapping[str, str]] = {"output_size": "num_classes"}
    encoder: TimeDistributed

    def __init__(
        self,
        output_size: int | None = None,
        encoder: Encoder | None = None,
        linear: bool = True,
        start: WeightStart = "torch",
    ) -> None:
        super().__init__()
        encoder = encoder or ConvEncoder()
        output_size = 10 if output_size is None else output_size
        self.output_size = output_size
        self.encoder = TimeDistributed(encoder)
        if not linear and encoder.output_size != output_size:
            raise ValueError(
                f"`output_size` (={encoder.output_size}) of the encoder must be the {output_size} outputs if `linear` "
                "is off"
            )
        self.head = nn.Linear(encoder.output_size, output_size) if linear else nn.Identity()
        if isinstance(self.head, nn.Linear):
            start_weights(self.head, start)

    def forward(self, batch: Batch) -> Tensor:
        """Map a batch with inputs `(B, T, …)` to outputs `(B, T, K)`."""
        return self.head(self.encoder(batch.inputs, batch.mask))
