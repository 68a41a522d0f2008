"""The network that all contestants train, and the ways to run its recurrence over sequences of unequal length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seqsum.benchmarks.recurrent import CELLS
from seqsum.benchmarks.reviews.batches import VOCABULARY
from seqsum.benchmarks.same_numbers import Numbers
from seqsum.data.base import Batch

FEATURES = 64  # of a word
STD = 0.1  # of the words' initial vectors
LEARNING_RATE = 1e-3


KINDS = ("lstm", "gru")
Run = Callable[[nn.Module, Tensor, Tensor], Tensor]  # layer, features (B, T, F) and mask -> mean state (B, 2·H)


class ReviewNetwork(nn.Module):
    """Embedding → recurrence in both directions → mean of the states → one logit.

    Args:
        recurrence: Layer, batch first.
        run: Runs the layer over the features, and averages its states.
        hidden_size: Units per direction, `H`.
    """

    def __init__(self, recurrence: nn.Module, run: Run, hidden_size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, FEATURES)
        nn.init.normal_(self.embedding.weight, std=STD)
        self.recurrence = recurrence
        self.run = run
        self.head = nn.Linear(2 * hidden_size, 1)

    def forward(self, batch: Batch) -> Tensor:
        """Compute one logit for each review, `(B, 1)`."""
        assert batch.mask is not None, "all sources of reviews make one"
        return self.head(self.run(self.recurrence, self.embedding(batch.inputs), batch.mask))


def run_masked(layer: Any, features: Tensor, mask: Tensor) -> Tensor:
    """Run a seqsum layer with its mask."""
    states, _ = layer(features, mask=mask)
    return states.sum(1) / mask.sum(1, keepdim=True)


def run_packed(layer: Any, features: Tensor, mask: Tensor) -> Tensor:
    """Run a torch.nn layer on a packed sequence, as its documentation recommends."""
    lengths = mask.sum(1)
    packed = pack_padded_sequence(features, lengths.cpu(), batch_first=True, enforce_sorted=False)
    states, _ = pad_packed_sequence(layer(packed)[0], batch_first=True)
    return states.sum(1) / lengths.unsqueeze(1)


def run_padded(layer: Any, features: Tensor, mask: Tensor) -> Tensor:
    """Run a torch.nn layer as if padding were words: another function."""
    return layer(features)[0].mean(1)


def make_network(cell: str, hidden_size: int, run: Run) -> ReviewNetwork:
    """Make a contestant's network; with the same cell and size all have the same weights.

    An LSTM's second biases are zero, because Keras has only one.
    """
    torch.manual_seed(0)
    torch_class, hand_written = CELLS[cell]
    oracle = torch_class(FEATURES, hidden_size, batch_first=True, bidirectional=True)
    if cell == "lstm":
        for name, weight in oracle.named_parameters():
            if name.startswith("bias_hh"):
                nn.init.zeros_(weight)
    network = ReviewNetwork(oracle, run, hidden_size)
    if run is run_masked:
        network.recurrence = hand_written(FEATURES, hidden_size, batch_first=True, bidirectional=True)
        network.recurrence.load_state_dict(oracle.state_dict())
    return network


def compute_loss(logits: Tensor, batch: Batch) -> Tensor:
    """Compute the mean binary cross-entropy."""
    return F.binary_cross_entropy_with_logits(logits, batch.targets.to(logits.dtype))


def compute_numbers(network: nn.Module, batch: Batch) -> Numbers:
    """Compute loss, logits and gradients for one batch."""
    logits = network(batch)
    loss = compute_loss(logits, batch)
    return Numbers(loss.detach(), logits.detach(), list(torch.autograd.grad(loss, list(network.parameters()))))


def make_step(network: nn.Module) -> Callable[[Batch], None]:
    """Make a function that takes a training step: forward, backward, AdamW."""
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, fused=True)

    def step(batch: Batch) -> None:
        optimizer.zero_grad()
        compute_loss(network(batch), batch).backward()
        optimizer.step()

    return step
