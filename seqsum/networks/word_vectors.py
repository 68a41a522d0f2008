"""A network whose only weights are two vectors for each word: word2vec's skip-gram and CBOW."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqsum.data.base import Batch
from seqsum.errors import missing_size

RUN = 32  # words whose neighbours are read by one product, `T`


class WordVectors(nn.Module):
    """Scores words by the product of their output vector with the mean input vector of what is read.

    It reads one word in a row and scores others, or reads several and scores one. Input vectors start uniformly in
    ±1 / (2·F) and output vectors at zero, as in the authors' program (Mikolov et al., 2013). The input vectors,
    `weight (V, F)`, are those that are used afterwards.

    Args:
        vocabulary_size: Number of word ids, `V`. On the command line it follows the data's argument of that name.
        size: Numbers in a vector, `F`.
        window: Neighbours on each side, if rows follow each other as the words of a text and hold their neighbours, as
            the batches of `WordPairs`: these are read several times as fast. None for any rows. On the command line it
            follows the data's.

    Raises:
        ValueError: The vocabulary size is missing, or a size is below one.
    """

    def __init__(self, vocabulary_size: int | None = None, size: int = 100, window: int | None = None) -> None:
        super().__init__()
        if vocabulary_size is None:
            raise missing_size("--model.network.vocabulary_size", "vocabulary_size")
        for name, value in (("vocabulary_size", vocabulary_size), ("size", size), ("window", window)):
            if value is not None and value < 1:
                raise ValueError(f"`{name}` (={value}) must be at least 1")
        self.size = size
        self.window = window
        self.weight = nn.Parameter(torch.empty(vocabulary_size, size).uniform_(-0.5 / size, 0.5 / size))
        self.output_weight = nn.Parameter(torch.zeros(vocabulary_size, size))

    def forward(self, batch: Batch) -> Tensor:
        """Score the targets `(B, S)` of a batch, and with them its negatives `(G, K)`.

        Returns:
            Scores `(B, S + K)` of the targets, then of the row's negatives; without negatives those of all words,
            `(B, 1, V)`.
        """
        queries = self.read(batch)  # (B, F)
        if batch.negatives is None:
            return (queries @ self.output_weight.T).unsqueeze(1)
        if self.window is not None and batch.targets.shape[1] == 2 * self.window:
            targets = score_neighbours(queries, self.output_weight, batch.inputs[:, 0], self.window)
        else:
            targets = score_each(queries, self.output_weight, batch.targets)
        groups = queries.view(len(batch.negatives), -1, self.size)  # (G, B / G, F)
        negatives = groups @ F.embedding(batch.negatives, self.output_weight).transpose(1, 2)
        return torch.cat([targets, negatives.flatten(0, 1)], dim=1)

    def read(self, batch: Batch) -> Tensor:
        """Compute the mean of each row's input vectors, `(B, T)` to `(B, F)`; any vector where there is no word."""
        if batch.inputs.shape[1] == 1:
            return F.embedding(batch.inputs[:, 0], self.weight)
        mask = torch.ones_like(batch.inputs, dtype=torch.bool) if batch.mask is None else batch.mask
        shares = mask.to(self.weight) / mask.sum(1, keepdim=True).clamp(min=1)
        if self.window is not None and batch.targets.shape[1] == 1 and batch.inputs.shape[1] == 2 * self.window:
            return read_neighbours(self.weight, batch.targets[:, 0], shares)
        return read_each(self.weight, batch.inputs, shares)


# The words of a batch are in the order of the text, so the neighbours of a run of rows are a run themselves. One
# product with its vectors does for all rows what would take `2·W` vectors for each.


def score_each(queries: Tensor, vectors: Tensor, targets: Tensor) -> Tensor:
    """Multiply each row's query `(B, F)` with the vectors `(V, F)` of its targets `(B, S)`; return scores `(B, S)`."""
    return (F.embedding(targets, vectors) * queries.unsqueeze(1)).sum(-1)


def score_neighbours(queries: Tensor, vectors: Tensor, words: Tensor, window: int) -> Tensor:
    """Do what `score_each` does if the targets are neighbours, four times as fast.

    Args:
        queries: `(B, F)`.
        vectors: `(V, F)`.
        words: The word of each row, `(B,)`. The rows are in the order of the text.
        window: Neighbours on each side, `W`. Where a neighbour is beyond the first or the last row, its score is
            that of the word 0.

    Returns:
        Scores `(B, 2·W)`, of the words `W` rows before to 1 row before, and 1 row after to `W` rows after.
    """
    rows, around = len(words), RUN + 2 * window
    runs = F.pad(queries, (0, 0, 0, -rows % RUN)).view(-1, RUN, queries.shape[1])  # (R, T, F)
    products = runs @ F.embedding(_runs_around(words, window), vectors).transpose(1, 2)  # (R, T, T + 2·W)
    # with one more number in each line, the neighbours of all words stand below each other
    band = F.pad(products.flatten(1), (0, RUN)).view(-1, RUN, around + 1)[..., : 2 * window + 1]
    band = band.flatten(0, 1)[:rows]
    return torch.cat([band[:, :window], band[:, window + 1 :]], dim=1)


def read_each(vectors: Tensor, inputs: Tensor, shares: Tensor) -> Tensor:
    """Add the vectors `(V, F)` of each row's inputs `(B, T)`, each times its share `(B, T)`; return sums `(B, F)`."""
    return F.embedding_bag(inputs, vectors, per_sample_weights=shares, mode="sum")


def read_neighbours(vectors: Tensor, words: Tensor, shares: Tensor) -> Tensor:
    """Do what `read_each` does if the inputs are neighbours, twice as fast.

    Args:
        vectors: `(V, F)`.
        words: The word of each row, `(B,)`. The rows are in the order of the text.
        shares: Shares of the words `W` rows before to 1 row before, and 1 row after to `W` rows after, `(B, 2·W)`.

    Returns:
        Sums `(B, F)`.
    """
    rows, window = len(words), shares.shape[1] // 2
    around = RUN + 2 * window
    band = torch.cat([shares[:, :window], shares.new_zeros(rows, 1), shares[:, window:]], dim=1)
    band = F.pad(band, (0, RUN, 0, -rows % RUN))  # one more number in each line than `around`: see `score_neighbours`
    of_runs = band.view(-1, RUN * (around + 1))[:, : RUN * around].view(-1, RUN, around)  # (R, T, T + 2·W)
    sums = of_runs @ F.embedding(_runs_around(words, window), vectors)  # (R, T, F)
    return sums.flatten(0, 1)[:rows]


def _runs_around(words: Tensor, window: int) -> Tensor:
    """Cut words `(B,)` into runs, each with the words from `window` before it to `window` after it: `(R, T + 2·W)`."""
    padded = F.pad(words, (window, window + -len(words) % RUN))
    return padded.unfold(0, RUN + 2 * window, RUN)
