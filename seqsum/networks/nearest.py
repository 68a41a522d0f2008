"""The words nearest to a vector, by cosine."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from seqsum.data.text import UNKNOWN


def nearest(vectors: Tensor, query: Tensor, count: int, without: Sequence[int] = ()) -> list[int]:
    """Return the ids of the words whose vectors have the largest cosine with a query, the nearest first.

    Args:
        vectors: `(V, F)`, one for each id; ids of no word, padding and unknown, are left out.
        query: `(F,)`.
        count: Words to return; fewer if there are fewer.
        without: Ids to leave out, such as those of the query's own words.
    """
    cosines = cosine_to(vectors, query)
    cosines[torch.tensor([*range(UNKNOWN + 1), *without])] = -torch.inf
    order = cosines.argsort(descending=True)[:count]
    return order[cosines[order].isfinite()].tolist()


def cosine_to(vectors: Tensor, query: Tensor) -> Tensor:
    """Compute the cosine of each vector `(V, F)` with a query `(F,)`; 0 where a vector is zero."""
    lengths = (vectors.norm(dim=1) * query.norm()).clamp(min=1e-12)
    return vectors @ query / lengths
