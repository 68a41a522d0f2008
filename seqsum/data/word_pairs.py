"""Words of film reviews and their neighbours, from which word vectors are learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from seqsum.data.base import Batch, Split
from seqsum.data.counter_random import DRAWS, random_uniform
from seqsum.data.index_tables import IndexBatch, IndexBatches
from seqsum.data.review_data import Dataset, ReviewData, TrainOn
from seqsum.data.text import PADDING, UNKNOWN
from seqsum.data.word_batches import GROUP, WordBatches, round_up
from seqsum.errors import InputError, check_at_least, check_choice

Mode = Literal["skipgram", "cbow"]
POWER = 0.75  # of the counts, in the distribution of the negatives
KEPT, REACH, NOISE = 0, 1, 2  # draws of a word: whether it is kept, how far it looks, and the first of its negatives
STEPS = 1 << 24  # values of a random number


class WordPairs(ReviewData):
    """Words with their neighbours in the text, for skip-gram and CBOW (Mikolov et al., 2013).

    A batch has the words of `batch_size` reviews as they follow each other, one in each row, without unknown words and
    without those that `subsample` leaves out. The neighbours of a word are those of its review that are at most
    `window` words away, to the left and to the right:

        mode        inputs                mask                  targets               target_mask
        skipgram    the word, (B, 1)      whether there is one  neighbours (B, 2·W)   whether there is one
        cbow        neighbours (B, 2·W)   whether there is one  the word, (B, 1)      whether it has a neighbour

    Column `j` of the neighbours is the word `W − j` rows before for `j < W`, and `j − W + 1` rows after otherwise.
    Rows behind the last word, and columns without a neighbour, are padding, which the masks leave out.

    Negatives are drawn with a probability in proportion to the count of a word to the power of ¾, anew for each batch.
    Each run of 32 rows shares its negatives (Ji et al., 2016), so their scores are one matrix product. Where a negative
    is the right answer, the objective leaves it out.

    Random numbers depend on the seed, the epoch, the step, and the review and place of a word alone. But runs of 32
    rows are of a process's own reviews, so with another number of processes or batch size they share other negatives.

    Args:
        mode: `skipgram`, which predicts the neighbours from the word, or `cbow`, the word from its neighbours.
        dataset, root, vocabulary_size: See `FilmReviews`.
        train_on: Reviews to train on: the `train` split, or `all` but the test split.
        window: Most words between a word and a neighbour, counting the latter, `W`.
        dynamic: Whether each word has a window of its own, between 1 and `window`, all as likely, so that near
            neighbours count more, as in the authors' program.
        subsample: Frequency `t` above which a word of frequency `f` is left out with probability `1 − √(t / f)`, before
            neighbours are looked for; null to keep all words.
        negatives: Words drawn for each run of 32 rows; 0 for the full softmax, which compares with all words and is
            slow: give it a `batch_size` of about 5.
        batch_size: Reviews per batch on each device: a hundred have 23,500 words.
        seed: Seed of the order and all draws in training; the command line passes `seed_everything`.

    Raises:
        InputError: An argument is out of its range.
    """

    trained_with = ("mode",)

    def __init__(
        self,
        mode: Mode = "skipgram",
        dataset: Dataset = "auto",
        root: str = "data",
        train_on: TrainOn = "train",
        vocabulary_size: int = 20_000,
        window: int = 5,
        dynamic: bool = True,
        subsample: float | None = 1e-3,
        negatives: int = 16,
        batch_size: int = 100,
        seed: int = 0,
    ) -> None:
        super().__init__(dataset, root, train_on, vocabulary_size, batch_size, seed)
        check_choice("--data.mode", mode, Mode)
        check_at_least("--data.window", window, 1)
        if subsample is not None and not subsample > 0:
            raise InputError(f"`--data.subsample` (={subsample}) must be above 0, or null")
        if not 0 <= negatives <= DRAWS - NOISE:
            raise InputError(f"`--data.negatives` (={negatives}) must be between 0 and {DRAWS - NOISE}")
        self.save_hyperparameters()
        self.mode = mode
        self.window = window
        self.dynamic = dynamic
        self.subsample = subsample
        self.negatives = negatives
        self._tables: tuple[Tensor, Tensor] | None = None  # see `tables_on`
        self._longest: dict[Split, int] = {}  # words of each split's longest review

    @classmethod
    def sizes(cls, settings: Mapping[str, Any]) -> dict[str, int]:
        """Return `vocabulary_size` and `window`."""
        return {name: settings[name] for name in ("vocabulary_size", "window") if name in settings}

    def setup(self, stage: str) -> None:
        super().setup(stage)
        self._longest = {split: int(reviews.words.lengths.max()) for split, reviews in self.splits.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._tables = None

    def counts(self) -> Tensor:
        """Count each word of the vocabulary in the training reviews, int64 `(V,)`; 0 for the special two."""
        words = self.splits["train"].words.values.cpu()
        found = self.ids_on(words.device)[words].long().bincount(minlength=len(self.vocabulary))
        return found.index_fill(0, torch.tensor([PADDING, UNKNOWN]), 0)

    def keep_shares(self) -> Tensor:
        """Return the probability with which each word is kept, `√(t / f)` but at most 1, float32 `(V,)`."""
        counts = self.counts().double()
        if self.subsample is None:
            return torch.ones(len(counts))
        # a word that never comes has an infinite share, which becomes 1
        return (self.subsample * counts.sum() / counts).sqrt().clamp(max=1).float()

    def noise_shares(self) -> Tensor:
        """Return the probability with which each word is drawn as a negative, float64 `(V,)`."""
        powers = self.counts().double() ** POWER
        return powers / powers.sum()

    def tables_on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the shares that are kept, and the ends of the words' stretches of `STEPS`, moved to the device."""
        if self._tables is None:
            ends = self.noise_shares().cumsum(0)
            self._tables = self.keep_shares(), (ends / ends[-1] * STEPS).round().long()
        if self._tables[0].device != device:
            self._tables = self._tables[0].to(device), self._tables[1].to(device)
        return self._tables

    def make_sampler(self, split: Split, seed: int, rank: int, processes: int) -> IndexBatches:
        """Make the sampler, which also counts the words of each batch."""
        return WordBatches(split, self.splits[split].words.lengths.cpu(), self.batch_size, seed, rank, processes)

    def gather(self, batch: IndexBatch) -> Batch:
        """Turn this process's reviews of an index table `(B, 1)` into words and neighbours."""
        words, texts, numbers = self._read_words(batch)
        keeps, noise_ends = self.tables_on(words.device)
        chances = as_shares(random_uniform(batch.seed, numbers, NOISE))  # (N, 2)
        kept = (words > UNKNOWN) & (chances[:, KEPT] < keeps[words])
        order = kept.byte().argsort(descending=True, stable=True)
        if kept.is_cpu:  # where the number is known; on a GPU, the host would wait for it
            order = order[: round_up(int(kept.sum()))]
        words, texts, numbers, exists = words[order], texts[order], numbers[order], kept[order]
        reach = (
            (chances[order, REACH] * self.window).long() + 1 if self.dynamic else torch.full_like(words, self.window)
        )
        neighbours, near = find_neighbours(words, texts, exists, reach, self.window)
        negatives = self._draw_negatives(batch.seed, numbers[::GROUP], noise_ends) if self.negatives else None
        if self.mode == "skipgram":
            sides = words.unsqueeze(1), neighbours, exists.unsqueeze(1), near
        else:
            sides = neighbours, words.unsqueeze(1), near, near.any(1, keepdim=True)
        return Batch(*sides, rows=batch.rows, negatives=negatives)

    def _read_words(self, batch: IndexBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Read the reviews of a batch one behind the other, up to `batch.steps` words, and padding behind them.

        Returns:
            The words, the review of each, and a number that no other word of the batch has, whatever the number of
            processes: all int64 `(N,)`.
        """
        reviews = self.reviews_on(batch.split, batch.rows.device).words
        rows = batch.rows[batch.share].squeeze(-1)
        starts, ends = (F.pad(reviews.offsets[at], (0, 1)) for at in (rows, rows + 1))  # and a review without words
        last = (ends - starts).cumsum(0)  # (R + 1,)
        assert batch.steps is not None, "the sampler of this class sets it"
        place = torch.arange(batch.steps, device=rows.device)
        text = torch.searchsorted(last, place, right=True).clamp(max=len(rows))
        at = place - last[text] + ends[text]
        words = self.ids_on(rows.device)[reviews.values[at.clamp(max=len(reviews.values) - 1)]].long()
        of_all = F.pad(torch.arange(len(batch.rows), device=rows.device)[batch.share], (0, 1))
        numbers = of_all[text] * self._longest[batch.split] + at - starts[text]
        return words.masked_fill(place >= last[-1], PADDING), text, numbers

    def _draw_negatives(self, seed: int, numbers: Tensor, ends: Tensor) -> Tensor:
        """Draw the negatives of groups, `(G, K)`, by the numbers of their first words `(G,)`."""
        chances = as_shares(random_uniform(seed, numbers, NOISE + self.negatives)[:, NOISE:])
        return find_stretch(ends, (chances * STEPS).long())

    def describe(self) -> str:
        window = f"up to {self.window} words" if self.dynamic else f"{self.window} words"
        return f"{self.mode} pairs within {window}, of {self.describe_corpus()}"


def find_neighbours(
    words: Tensor, texts: Tensor, exists: Tensor, reach: Tensor | int, window: int
) -> tuple[Tensor, Tensor]:
    """Find the neighbours of words that follow each other.

    Args:
        words: Word ids, int64 `(N,)`.
        texts: The text that each word is in, at least 0, `(N,)`.
        exists: Whether there is a word at all, `(N,)`.
        reach: How many words each looks to either side, at most `window`, `(N,)` or one number for all.
        window: Columns for each side, `W`.

    Returns:
        Neighbours `(N, 2·W)`, `PADDING` where there is none, and whether there is one.
    """
    distances = torch.arange(1, window + 1, device=words.device)
    distances = torch.cat([distances.flip(0), distances])  # (2·W,)
    limits = reach.unsqueeze(1) if isinstance(reach, Tensor) else reach
    of_others = _around(texts.masked_fill(~exists, -1), window, fill=-1)
    near = (of_others == texts.unsqueeze(1)) & (distances <= limits) & exists.unsqueeze(1)
    return _around(words, window, fill=PADDING).masked_fill(~near, PADDING), near


def _around(values: Tensor, window: int, fill: int) -> Tensor:
    """Return for each value `(N,)` the `window` before it and the `window` after it, `(N, 2·window)`."""
    runs = F.pad(values, (window, window), value=fill).unfold(0, 2 * window + 1, 1)  # a view, without indexing
    return torch.cat([runs[:, :window], runs[:, window + 1 :]], dim=1)


def find_stretch(ends: Tensor, places: Tensor) -> Tensor:
    """Find the stretch that each place, `0 … ends[-1] − 1`, is in; `ends` are one behind the last place of each.

    An empty stretch, which ends where the one before it does, has no place.
    """
    return torch.searchsorted(ends, places, right=True)


def as_shares(numbers: Tensor) -> Tensor:
    """Map random numbers from `[-1, 1)` to `[0, 1)`."""
    return (numbers + 1) / 2
