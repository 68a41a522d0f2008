"""Batches of whole texts, which know how many words they have."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from seqsum.data.base import Split
from seqsum.data.index_tables import IndexBatches, Table

GROUP = 32  # words that share their negatives; the number of words of a batch is rounded up to a multiple of it


class WordBatches(IndexBatches):
    """Deals texts into batches; `steps` is the number of words, of the process with the most, rounded up.

    Args:
        split: Name of the split; `train` is shuffled anew in each epoch, the others never.
        lengths: Words of each text of the split, `(M,)`.
        batch_size: Texts per process and batch.
        seed: Seed of the shuffling, together with the epoch.
        rank, world_size: Rank of this process, and number of processes.
    """

    def __init__(
        self, split: Split, lengths: Tensor, batch_size: int, seed: int, rank: int = 0, world_size: int = 1
    ) -> None:
        super().__init__(split, len(lengths), (1, 1), batch_size, seed, rank, world_size)
        self.of_texts = lengths

    def tables(self, of_batches: torch.Generator, of_rows: torch.Generator) -> Iterator[Table]:
        for rows, *_ in super().tables(of_batches, of_rows):
            words = self.of_texts[rows.squeeze(1)]
            most = max(int(words[rank :: self.num_replicas].sum()) for rank in range(self.num_replicas))
            yield Table(rows, round_up(most))


def round_up(words: int) -> int:
    """Round up to full groups, of which there is at least one."""
    return max(1, -(-words // GROUP)) * GROUP
