"""Attention to a source sequence: scores of its steps, weights, and the context that a reader gets.

Each kind of scores makes `keys` from the values once for a sequence, and scores from them at every step:

    keys(values)         (B, S, E) -> (B, S, A)
    forward(query, keys) (…, B, P), (B, S, A) -> (…, B, S)

`P` is the size of the query, such as a hidden state. Linear layers start with torch.nn's initial values.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from seqsum.recurrent.alike import check_like
from seqsum.recurrent.cells.base import check_size

Attention = Literal["additive", "multiplicative", "none"]

MASKED = -1e9  # the score of masked source steps; with -inf, a row with no valid step would give NaN


class SourceAttention(nn.Module):
    """Weigh the steps of a source by how well they fit a query, and sum them: see `AttentionCell` for the equations.

    One call answers one query for each row or several, `(T, B, P)`: a decoder whose own steps do not read the context
    attends at all of them at once (Luong et al., 2015).

    Args:
        attention: "additive", "multiplicative" or "none".
        query_size: Features of a query, `P`.
        source_size: Features of each source step, `E`.
        attention_size: Features of each key, `A`, for "additive". Default: `P`, the only size for "multiplicative".
        on: `device` and `dtype` of the parameters.

    Raises:
        TypeError: A size is not an integer.
        ValueError: `attention` is unknown, a size is below one, or `attention_size` has no effect.
    """

    def __init__(
        self,
        attention: Attention,
        query_size: int,
        source_size: int,
        attention_size: int | None = None,
        **on: Any,
    ) -> None:
        super().__init__()
        if attention not in get_args(Attention):
            raise ValueError(f"`attention` (={attention!r}) must be one of {get_args(Attention)}")
        own_size = query_size if attention_size is None else attention_size
        for name, size in (("source_size", source_size), ("attention_size", own_size)):
            check_size(name, size)
        if attention_size is not None and attention != "additive":
            raise ValueError(f"`attention_size` (={attention_size}) has no effect on `attention` (={attention!r})")
        self.source_size = source_size
        self.scores: nn.Module
        if attention == "additive":
            self.scores = AdditiveScores(query_size, source_size, own_size, **on)
        elif attention == "multiplicative":
            self.scores = MultiplicativeScores(query_size, source_size, **on)
        else:
            self.scores = EqualScores()

    def forward(self, query: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the source steps' weights, `(…, B, S)`, and the context, `(…, B, E)`, of queries `(…, B, P)`."""
        is_valid = bias == 0
        # in float16, the sum of a score and a bias may be -inf
        weights = torch.softmax(torch.where(is_valid, self.scores(query, keys), bias), dim=-1) * is_valid
        return weights, torch.einsum("...bs,bse->...be", weights, values)

    def source(self, values: Tensor, mask: Tensor | None = None) -> list[Tensor]:
        """Prepare a source for any number of steps.

        Args:
            values: `(B, S, E)`.
            mask: `(B, S)` bool, which source steps are valid; None: all are.

        Returns:
            Keys `(B, S, A)`, values with zeros at masked steps, and a bias `(B, S)`: zero at valid steps, and at
            masked ones what stands for their score.

        Raises:
            ValueError: A shape or type doesn't fit.
        """
        if values.dim() != 3 or values.shape[-1] != self.source_size:
            raise ValueError(f"`values` of shape {tuple(values.shape)} must be (B, S, {self.source_size})")
        if not values.is_floating_point():
            raise ValueError(f"`values` of type {values.dtype} must be of a floating-point type, that of the weights")
        check_like("`values`", values, next(self.parameters(), values))
        if mask is None:
            mask = torch.ones_like(values[..., 0], dtype=torch.bool)
        if not isinstance(mask, Tensor):
            raise ValueError(f"`mask` (={type(mask).__name__}) must be a tensor")
        if mask.shape != values.shape[:2] or mask.dtype != torch.bool:
            raise ValueError(
                f"`mask` of shape {tuple(mask.shape)} and type {mask.dtype} must be of {tuple(values.shape[:2])}, "
                "(B, S), and type torch.bool"
            )
        values = values.masked_fill(~mask.unsqueeze(-1), 0)  # zero times NaN is NaN, in the context and in gradients
        bias = torch.zeros_like(values[..., 0]).masked_fill(~mask, max(MASKED, torch.finfo(values.dtype).min))
        return [self.scores.keys(values), values, bias]  # type: ignore[operator]  # mypy takes it for a submodule


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
        return torch.einsum("...bp,bsp->...bs", query * self.scale, keys)


class EqualScores(nn.Module):
    """Score all source steps alike, at zero."""

    def keys(self, values: Tensor) -> Tensor:
        """Return keys without features."""
        return values[..., :0]

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        return keys.sum(-1) + torch.zeros_like(query[..., :1])
