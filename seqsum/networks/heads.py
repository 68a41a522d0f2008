"""Heads: turn the recurrence's output at each step into the network's output."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn


def build_head(input_size: int, hidden_sizes: Sequence[int], output_size: int) -> nn.Module:
    """Build a head `(…, H)` -> `(…, K)`: one linear layer, or several with a ReLU before each, also the first.

    Weights behind a ReLU, which passes half of its inputs, are initialised with twice the variance that they would
    need without one (He et al., 2015). torch's default, with a sixth of that variance, loses most of the first epoch.

    Args:
        input_size: Size of the recurrence's outputs, `H`.
        hidden_sizes: Units of the layers before the last; empty for a single layer.
        output_size: Outputs per step, `K`.

    Raises:
        ValueError: A size is below one.
    """
    for name, size in (("input_size", input_size), ("output_size", output_size)):
        if size < 1:
            raise ValueError(f"`{name}` (={size}) of the head must be at least 1")
    if any(size < 1 for size in hidden_sizes):
        raise ValueError(f"`head_sizes` (={list(hidden_sizes)}) must be numbers of at least 1")
    if not hidden_sizes:
        return nn.Linear(input_size, output_size)
    sizes = [input_size, *hidden_sizes, output_size]
    layers = [nn.Linear(*pair) for pair in pairwise(sizes)]
    for layer in layers:
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
    return nn.Sequential(*(part for layer in layers for part in (nn.ReLU(), layer)))
