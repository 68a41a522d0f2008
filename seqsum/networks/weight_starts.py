"""Starts of a linear layer's weights, by name."""

from __future__ import annotations

from typing import Literal

from torch import nn

from seqsum.errors import check_choice

WeightStart = Literal["torch", "he", "glorot", "normal", "zeros"]
STD = 0.01  # of `normal`


def start_weights(layer: nn.Linear, start: WeightStart) -> None:
    """Set a layer's weights `(K, F)` to a start, and its biases to zero; `torch` leaves both as torch.nn draws them.

    Args:
        layer: The layer.
        start: `he`: uniform with variance 2/F (He et al., 2015); `glorot`: uniform with variance 2/(F + K) (Glorot &
            Bengio, 2010); `normal`: normal with a standard deviation of 0.01; `zeros`; `torch`: uniform with variance
            1/(3·F).

    Raises:
        ValueError: The start is unknown.
    """
    check_choice("start", start, WeightStart)
    if start == "torch":
        return
    nn.init.zeros_(layer.bias)
    if start == "he":
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
    elif start == "glorot":
        nn.init.xavier_uniform_(layer.weight)
    elif start == "normal":
        nn.init.normal_(layer.weight, std=STD)
    else:
        nn.init.zeros_(layer.weight)
