"""Trains on short sequences as if each were the end of a long one: from the state that others of the batch left."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from seqsum.data.base import Batch
from seqsum.recurrent.recurrent import States

FRESH = 0.5  # share of the batches that start from the initial state


class Carrying(Protocol):
    """What `run_carried` needs of a network."""

    def features(self, batch: Batch) -> Tensor:
        """Compute the features that the recurrence reads, `(B, T, F)`."""

    def recur(
        self, features: Tensor, state: States | None = None, *, mask: Tensor | None = None
    ) -> tuple[Tensor, States]:
        """Run the recurrence; return outputs `(B, T, H)` and the state after the last step."""

    def read(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        """Compute outputs `(B, T, K)` from those of the recurrence."""


def run_carried(network: Carrying, batch: Batch, most: int) -> Tensor:
    """Run a batch from the state in which the recurrence is after some other sequences of the batch, in random order.

    Outputs are relative to the network's own output at that point, so they fit the batch's targets, which begin at
    zero. Nothing is differentiated before that point. A network that adds thus learns to add at any level and after any
    time, although no gradient goes back further than one sequence, and no sequence has longer targets. Half of the
    batches start from the initial state: from them the network learns to add in the first place. The number of
    sequences before is even, so that signs that alternate go on as the targets' do.

    Args:
        network: The network.
        batch: Inputs `(B, T, …)`, all of whose steps are valid.
        most: Most sequences to read before, at least 2.

    Returns:
        Outputs `(B, T, K)`.
    """
    features = network.features(batch)
    sequences = 2 * int(torch.randint(1, most // 2 + 1, ())) if torch.rand(()) >= FRESH else 0
    state: States | None = None
    before: Tensor | float = 0.0
    with torch.no_grad():
        for _ in range(sequences):
            order = torch.randperm(len(features), device=features.device)
            outputs, state = network.recur(features[order], state)
            before = network.read(outputs[:, -1:])  # (B, 1, K)
    return network.read(network.recur(features, state)[0]) - before
