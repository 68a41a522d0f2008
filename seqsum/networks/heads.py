"""Heads: what the outputs of the recurrence become at each step."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn


def build_head(input_size: int, hidden_sizes: Sequence[int], output_size: int) -> nn.Module:
    """One linear layer; or several, each behind a ReLU, the first one too: `(…, H)` -> `(…, K)`.

    Behind a ReLU, which lets half of its inputs through, weights start twice as large in variance as they would
    without (He et al., 2015); torch's own start, six times smaller than that, costs most of the first epoch.

    Args:
        input_size: Of the recurrence's outputs, `H`.
        hidden_sizes: Units of the layers before the last; none for a single layer.
        output_size: Outputs per step, `K`.

    Raises:
        ValueError: A size below one.
    """
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
