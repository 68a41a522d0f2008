"""Runs a trained network on many sequences of digits: encodes each image once, then runs only the recurrence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from seqsum.data.base import Batch
from seqsum.data.digit_sums import scale
from seqsum.data.sums import Operation, deal, increments, running_targets
from seqsum.figures import by_layer
from seqsum.networks import SequenceNetwork
from seqsum.recurrent import Recurrent, trace

CHUNK = 500  # digits or sequences per call, which limits memory
STEPS = 100_000  # likewise, of all sequences of a call
LENGTHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 100, 200, 300, 500)
SEQUENCES = 2_000  # of each length


@torch.no_grad()
def encode(network: SequenceNetwork, digits: Tensor) -> Tensor:
    """Encode uint8 digits `(N, Y, X)` into features `(N, F)`."""
    return torch.cat([network.encoder.module(scale(chunk)) for chunk in digits.split(CHUNK)])


@torch.no_grad()
def read(network: SequenceNetwork, features: Tensor) -> tuple[Tensor, Tensor]:
    """Run recurrence and head on features `(B, T, F)`.

    Returns:
        Outputs of the recurrence `(B, T, H)`, and running sums `(B, T)`, not rounded.
    """
    outputs = torch.cat([network.recur(rows)[0] for rows in features.split(CHUNK)])
    return outputs, network.head(outputs).squeeze(-1).float()


@torch.no_grad()
def trace_layers(
    network: SequenceNetwork, features: Tensor, mask: Tensor | None = None
) -> dict[str, dict[str, Tensor]]:
    """Trace gates and states `(B, T, H)`, by layer (`l0`, `l1`, …) and name; empty for torch's own layers.

    Args:
        network: The network whose recurrence to run.
        features: `(B, T, F)`.
        mask: `(B, T)`, True where a step exists; None for all.
    """
    if not isinstance(network.recurrence, Recurrent):
        return {}
    with trace(network.recurrence) as traced:
        network.recur(features, mask=mask)
    return by_layer(traced)


def trace_batch(network: torch.nn.Module, batch: Batch) -> dict[str, dict[str, Tensor]]:
    """Call `trace_layers` on a network's features of a batch; empty for a network that is no `SequenceNetwork`."""
    if not isinstance(network, SequenceNetwork):
        return {}
    with torch.no_grad():
        return trace_layers(network, network.features(batch), batch.mask)


class LengthScore(NamedTuple):
    """Number of sequences of one length, and how many of them end in the right sum."""

    length: int
    right: int
    sequences: int


def exact_by_length(
    network: SequenceNetwork,
    features: Tensor,
    labels: Tensor,
    operation: Operation,
    lengths: Sequence[int],
    sequences: int = SEQUENCES,
) -> list[LengthScore]:
    """Count the sequences with the right final sum for each length.

    The sequences of a length are the same in every call. They use each digit once, if that makes enough of them;
    otherwise digits are drawn with replacement.

    Args:
        network: The network whose recurrence and head to run.
        features: Features of all digits, `(N, F)`.
        labels: Labels of all digits, `(N,)`.
        operation: Signs of the steps.
        lengths: Lengths of the sequences.
        sequences: Sequences of each length, at least.
    """
    finals = (final_sums(network, features, labels, operation, length, sequences) for length in lengths)
    return [
        LengthScore(length, int((sums.round() == targets).sum()), len(targets))
        for length, (sums, targets) in zip(lengths, finals, strict=True)
    ]


def final_sums(
    network: SequenceNetwork, features: Tensor, labels: Tensor, operation: Operation, length: int, sequences: int
) -> tuple[Tensor, Tensor]:
    """Compute final sums, not rounded, and true ones, `(B,)` each, of the sequences of `exact_by_length`."""
    rows = sequences_of(len(labels), length, sequences)
    sums = torch.cat([read(network, features[chunk])[1][:, -1] for chunk in rows.split(max(1, STEPS // length))])
    return sums, running_targets(labels[rows], operation)[:, -1]


def sequences_of(count: int, length: int, sequences: int) -> Tensor:
    """Make at least so many sequences of a length from `count` digits: places `(B, T)`, the same in every call."""
    generator = torch.Generator().manual_seed(length)
    if count >= sequences * length:
        return deal(count, [length], count, generator)[0]
    return torch.randint(count, (sequences, length), generator=generator)


class LongRun(NamedTuple):
    """What a network makes of some sequences of one length.

    Attributes:
        features: What the recurrence reads, `(B, T, F)`.
        sums: Running sums that the network gives, `(B, T)`.
        targets: True running sums, `(B, T)`.
    """

    features: Tensor
    sums: Tensor
    targets: Tensor

    @property
    def errors(self) -> Tensor:
        """What each step added to the network's sum, less what it should have added, `(B, T)`."""
        return increments(self.sums) - increments(self.targets)


def run_long(
    network: SequenceNetwork, features: Tensor, labels: Tensor, operation: Operation, length: int, sequences: int
) -> LongRun:
    """Run a network on the first sequences of a length that `exact_by_length` counts."""
    rows = sequences_of(len(labels), length, sequences)[:sequences]
    read_from = features[rows]
    return LongRun(read_from, read(network, read_from)[1], running_targets(labels[rows], operation))


def read_right(network: SequenceNetwork, features: Tensor, labels: Tensor) -> Tensor:
    """Return which of the digits the network reads correctly if it reads one alone, bool `(N,)`."""
    return read(network, features.unsqueeze(1))[1][:, 0].round() == labels
