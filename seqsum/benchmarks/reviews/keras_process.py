"""Runs `keras_rival.py` of this folder, and converts the network's weights to Keras's layout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from seqsum.benchmarks.keras_process import KerasProcess, in_order
from seqsum.benchmarks.reviews.networks import LEARNING_RATE, ReviewNetwork
from seqsum.benchmarks.same_numbers import Numbers
from seqsum.data.base import Batch


class KerasReviews(KerasProcess):
    """Keras's training on a list of batches.

    Args:
        network: Network with torch.nn's layer, whose weights Keras starts from.
        batches: Batches to train on.
        checked: Batch whose numbers are compared.
        cell: `lstm` or `gru`.
    """

    def __init__(self, network: ReviewNetwork, batches: Sequence[Batch], checked: Batch, cell: str) -> None:
        files = {"batches": _arrays(batches), "checked": _arrays([checked])}
        files["weights"] = in_order(keras_layout(network, list(network.parameters())))
        hidden_size = network.head.in_features // 2
        options = [f"--cell={cell}", f"--hidden-size={hidden_size}", f"--learning-rate={LEARNING_RATE}"]
        super().__init__(Path(__file__).with_name("keras_rival.py"), files, options)

    def numbers(self) -> Numbers:
        """Compute loss, logits and gradients, in Keras's layout, of the checked batch, without training on it."""
        return self.ask_for_numbers()

    def train(self, steps: int) -> float:
        """Take a step on each of the first batches; return the seconds."""
        return self.ask(do="train", steps=steps)["seconds"]


def _arrays(batches: Sequence[Batch]) -> dict[str, Tensor]:
    words = {f"words_{k}": batch.inputs.int() for k, batch in enumerate(batches)}
    return words | {f"labels_{k}": batch.targets.float() for k, batch in enumerate(batches)}


def keras_layout(network: ReviewNetwork, values: Sequence[Tensor]) -> list[Tensor]:
    """Convert weights, or their gradients, to the order and layout of Keras's `trainable_variables`.

    Keras transposes weight matrices and has the gates of a GRU in another order. Its LSTM has a single bias: torch's
    second one, which has the same gradient, is left out, so it must be zero.

    Args:
        network: Network with torch.nn's layer.
        values: One tensor for each of `network.parameters()`.
    """
    words, *of_layer, kernel, bias = values
    convert = _gru_layout if isinstance(network.recurrence, nn.GRU) else _lstm_layout
    return [words, *convert(*of_layer[:4]), *convert(*of_layer[4:]), kernel.t(), bias]


def _lstm_layout(weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor) -> list[Tensor]:
    return [weight_ih.t(), weight_hh.t(), bias_ih]


def _gru_layout(*weights: Tensor) -> list[Tensor]:
    """Convert the weights of a GRU; its gates r, z, n become z, r, h."""
    reordered = []
    for weight in weights:
        reset_gate, update_gate, candidate = weight.chunk(3)
        reordered.append(torch.cat([update_gate, reset_gate, candidate]))
    weight_ih, weight_hh, *biases = reordered
    return [weight_ih.t(), weight_hh.t(), torch.stack(biases)]
