"""What a network makes of digits: each image is encoded once, then the recurrence reads any sequence of them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from seqsum.data.base import Batch
from seqsum.data.digit_sums import scale
from seqsum.data.sums import Operation, deal, running_targets
from seqsum.figures import by_layer
from seqsum.networks import SequenceNetwork
from seqsum.recurrent import Recurrent, trace

CHUNK = 500  # digits or sequences at a time, which bounds the memory
LENGTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 80)


@torch.no_grad()
def encode(network: SequenceNetwork, digits: Tensor) -> Tensor:
    """Digits as the encoder sees them: uint8 `(N, Y, X)` -> features `(N, F)`."""
    return torch.cat([network.encoder.module(scale(chunk)) for chunk in digits.split(CHUNK)])


@torch.no_grad()
def read(network: SequenceNetwork, features: Tensor) -> tuple[Tensor, Tensor]:
    """Features `(B, T, F)` -> outputs of the recurrence `(B, T, H)` and running sums, not rounded, `(B, T)`."""
    outputs = torch.cat([network.recur(rows)[0] for rows in features.split(CHUNK)])
    return outputs, network.head(outputs).squeeze(-1).float()


@torch.no_grad()
def trace_layers(
    network: SequenceNetwork, features: Tensor, mask: Tensor | None = None
) -> dict[str, dict[str, Tensor]]:
    """Gates and states `(B, T, H)` by layer (`l0`, `l1`, …) and name; none of torch's own layers.

    Args:
        network: Whose recurrence reads.
        features: `(B, T, F)`.
        mask: `(B, T)`, True where a step exists; None for all.
    """
    if not isinstance(network.recurrence, Recurrent):
        return {}
    with trace(network.recurrence) as traced:
        network.recur(features, mask=mask)
    return by_layer(traced)


def trace_batch(network: torch.nn.Module, batch: Batch) -> dict[str, dict[str, Tensor]]:
    """The same while a network reads a batch; none of a network that does not say what its features are."""
    if not isinstance(network, SequenceNetwork):
        return {}
    with torch.no_grad():
        return trace_layers(network, network.features(batch), batch.mask)


class LengthScore(NamedTuple):
    """How many sequences of one length came out right, and of how many."""

    length: int
    right: int
    sequences: int


def exact_by_length(
    network: SequenceNetwork, features: Tensor, labels: Tensor, operation: Operation, longest: int
) -> list[LengthScore]:
    """Sequences with the right final sum, by length: 1, 2, 3, 4, 6, 8 … up to `longest`.

    For each length all digits are dealt anew, without replacement, always in the same way.

    Args:
        network: Whose recurrence and head read.
        features: Of all digits, `(N, F)`.
        labels: Of all digits, `(N,)`.
        operation: What the signs are.
        longest: Length of the last sequences, at most `N`.
    """
    scores = []
    for length in [*(length for length in LENGTHS if length < longest), longest]:
        (rows,) = deal(len(labels), [length], len(labels), torch.Generator().manual_seed(length))
        _, sums = read(network, features[rows])
        right = sums[:, -1].round() == running_targets(labels[rows], operation)[:, -1]
        scores.append(LengthScore(length, int(right.sum()), len(right)))
    return scores
