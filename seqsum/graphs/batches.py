"""Makes training batches by CUDA graphs: one launch for a DataModule's dozens of small operations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqsum.data.base import Batch
from seqsum.data.index_tables import IndexBatch
from seqsum.data.indexed import IndexedData
from seqsum.graphs.capture import Captures, without_draws
from seqsum.graphs.obstacles import explain_failure
from seqsum.graphs.watchpoints import SCALARS

EAGER_BATCHES = 2  # batches of a shape before it is captured
MAX_SHAPES = 16  # most shapes captured

Make = Callable[[IndexBatch], Batch]


class BatchGraphs:
    """Makes the batches of `data.gather`, from the third batch of each shape on by a graph.

    Args:
        data: A capturable DataModule, see `IndexedData.is_capturable`.
    """

    def __init__(self, data: IndexedData) -> None:
        self._make: Make = data.gather
        self._attributes = vars(data)
        self._captures: Captures | None = None
        self._captured: dict[Any, _Captured] = {}  # by shape
        self._seen: Counter[Any] = Counter()  # batches by shape
        self._given_up = False

    def __call__(self, batch: IndexBatch) -> Batch:
        """Make the batch of an index table."""
        if batch.split != "train" or self._given_up:
            return self._make(batch)
        share = batch.share
        settings = [value for value in self._attributes.values() if type(value) in SCALARS]  # a callback may change one
        shape = (batch.rows.shape, share.start, share.stop, share.step, *settings)
        self._seen[shape] += 1
        if shape not in self._captured:
            if self._seen[shape] <= EAGER_BATCHES or len(self._captured) == MAX_SHAPES:
                return self._make(batch)
            self._capture(batch, shape)
        return self._captured[shape](batch) if shape in self._captured else self._make(batch)

    def _capture(self, batch: IndexBatch, shape: Any) -> None:
        self._captures = self._captures or Captures()
        rows = batch.rows.clone()
        seed = torch.zeros((), dtype=torch.int64, device=rows.device)
        try:
            self._captures.settle()
            of_graph = batch._replace(rows=rows, seed=seed)  # type: ignore[arg-type]  # a tensor, overwritten before each replay
            with without_draws(self._attributes.values()):
                replay, made = self._captures.capture(lambda: self._make(of_graph))
        except RuntimeError as error:
            self._given_up = True
            explain_failure("Batches are made", error)
        else:
            self._captured[shape] = _Captured(rows, seed, replay, made)


class _Captured(NamedTuple):
    rows: Tensor
    seed: Tensor
    replay: Callable[[], None]
    made: Batch

    def __call__(self, batch: IndexBatch) -> Batch:
        self.rows.copy_(batch.rows)
        self.seed.fill_(batch.seed)
        self.replay()
        # copies, because a callback may keep a batch and the next replay overwrites this one
        return self.made.map(Tensor.clone)._replace(rows=batch.rows)
