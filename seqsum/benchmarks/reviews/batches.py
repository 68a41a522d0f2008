"""The reviews that all contestants read: a sample of an epoch, once in buckets and once shuffled."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from seqsum.data import FilmReviews
from seqsum.data.base import Batch
from seqsum.data.buckets import BucketBatches
from seqsum.data.index_tables import IndexBatch
from seqsum.data.text import UNKNOWN, Ragged
from seqsum.data.text.ragged import pad
from seqsum.errors import InputError

LONGEST = 500  # words; longer reviews lose their start
VOCABULARY = 20_000
DRAWN = 20_000  # reviews
MEDIAN, SPREAD = 176.0, 0.76  # of the log-normal lengths: their mean is 235, and 90 % are below 466


class Source(NamedTuple):
    """Where reviews come from.

    Attributes:
        what: Description for the user.
        lengths: Words of each review, `(M,)`.
        gather: From positions `(B,)` and the number of steps `T` to a batch with inputs `(B, T)`, mask and labels.
    """

    what: str
    lengths: Tensor
    gather: Callable[[Tensor, int], Batch]


class Sample(NamedTuple):
    """The same reviews twice: batches of similar lengths, and batches as they come."""

    bucketed: list[Batch]
    shuffled: list[Batch]


def read_reviews(root: str) -> Source:
    """Read the training reviews of the Large Movie Review Dataset, which lies in the folder `root`."""
    data = FilmReviews(dataset="imdb", root=root, vocabulary_size=VOCABULARY, longest=LONGEST)
    data.setup("fit")
    lengths = data.pieces.lengths(data.splits["train"].words.lengths, training=True)

    def gather(rows: Tensor, steps: int) -> Batch:
        return data.gather(IndexBatch("train", rows.unsqueeze(1), seed=0, steps=steps))

    return Source(f"reviews of the Large Movie Review Dataset, {_describe(lengths)}", lengths, gather)


def draw_reviews() -> Source:
    """Draw reviews of random words, whose lengths resemble the real ones: log-normal, median 176, mean 235.

    Small ids are frequent, as in a real vocabulary: the logarithm of an id is uniform.
    """
    generator = torch.Generator().manual_seed(0)
    lengths = (MEDIAN * (SPREAD * torch.randn(DRAWN, generator=generator)).exp()).long().clamp(10, LONGEST)
    offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    ranks = torch.rand(int(offsets[-1]), generator=generator)
    words = Ragged((UNKNOWN * (VOCABULARY / UNKNOWN) ** ranks).long().clamp(UNKNOWN, VOCABULARY - 1), offsets)
    labels = torch.randint(2, (DRAWN, 1), generator=generator)

    def gather(rows: Tensor, steps: int) -> Batch:
        inputs, mask = pad(words.values, words.offsets[rows], lengths[rows], steps)
        return Batch(inputs, labels[rows], mask)

    return Source(f"random words, lengths drawn like those of real reviews, {_describe(lengths)}", lengths, gather)


def take_sample(source: Source, batches: int, batch_size: int) -> Sample:
    """Take batches across all lengths from an epoch in buckets, and shuffle their reviews into other batches.

    Raises:
        InputError: There are fewer full batches than asked for.
    """
    epoch = list(BucketBatches("train", source.lengths, batch_size, seed=0))[:-1]  # the last may be short
    if not 1 <= batches <= len(epoch):
        raise InputError(f"`--batches` (={batches}) must be between 1 and {len(epoch)}, the full ones of an epoch")
    epoch.sort(key=lambda batch: batch.steps or 0)
    places = ((torch.arange(batches) + 0.5) * len(epoch) / batches).long().tolist()
    tables = [epoch[place].rows.squeeze(1) for place in places]
    order = torch.randperm(batches * batch_size, generator=torch.Generator().manual_seed(0))
    shuffled = torch.cat(tables)[order].split(batch_size)
    return Sample(*([_gather(source, rows) for rows in kind] for kind in (tables, shuffled)))


def share_of_padding(batches: list[Batch]) -> float:
    """Compute the share of steps that are padding."""
    masks = [batch.mask for batch in batches if batch.mask is not None]
    return 1 - sum(int(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks)


def _gather(source: Source, rows: Tensor) -> Batch:
    return source.gather(rows, int(source.lengths[rows].max()))


def _describe(lengths: Tensor) -> str:
    counts = lengths.double()
    mean, median, most = counts.mean(), counts.median(), counts.quantile(0.9)
    return f"up to {LONGEST} words (mean {mean:.0f}, median {median:.0f}, 90 % below {most:.0f})"
