"""Scores of source steps: how well each fits what a cell remembers, see `AttentionCell`.

Each module makes `keys` from the values once for a sequence, and scores from them at every step:

    keys(values)         (B, S, E) -> (B, S, A)
    forward(query, keys) (…, B, P), (B, S, A) -> (…, B, S)

`P` is the size of the query, the hidden state. Linear layers start with torch.nn's initial values.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class AdditiveScores(nn.Module):
    """Score by a layer of tanh units, `v · tanh(W_q query + W_k value)` (Bahdanau et al., 2015).

    Args:
        query_size, source_size, attention_size: `P`, `E`, `A`.
        on: `device` and `dtype` of the parameters.
    """

    def __init__(self, query_size: int, source_size: int, attention_size: int, **on: Any) -> None:
        super().__init__()
        self.query = nn.Linear(query_size, attention_size, bias=False, **on)
        self.key = nn.Linear(source_size, attention_size, bias=False, **on)
        self.score = nn.Linear(attention_size, 1, bias=False, **on)

    def keys(self, values: Tensor) -> Tensor:
        """Compute `W_k value` of all source steps."""
        return self.key(values)

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        return self.score(torch.tanh(self.query(query).unsqueeze(-2) + keys)).squeeze(-1)


class MultiplicativeScores(nn.Module):
    """Score by a product, `query · W_k value / √P` (Luong et al., 2015, "general"; scaled as in Vaswani et al., 2017).

    Args:
        query_size, source_size: `P`, which is also `A`, and `E`.
        on: `device` and `dtype` of the parameters.
    """

    def __init__(self, query_size: int, source_size: int, **on: Any) -> None:
        super().__init__()
        self.scale = query_size**-0.5
        self.key = nn.Linear(source_size, query_size, bias=False, **on)

    def keys(self, values: Tensor) -> Tensor:
        """Compute `W_k value` of all source steps."""
        return self.key(values)

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        return torch.matmul(keys, (query * self.scale).unsqueeze(-1)).squeeze(-1)


class EqualScores(nn.Module):
    """Score all source steps alike, at zero."""

    def keys(self, values: Tensor) -> Tensor:
        """Return keys without features."""
        return values[..., :0]

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        return keys.sum(-1) + torch.zeros_like(query[..., :1])
