"""Film reviews as sequences of words, each with one label: negative or positive."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import Literal

import torch
from torch import Tensor

from seqsum.data.base import Batch, Split, unlabelled
from seqsum.data.buckets import POOL, BucketBatches
from seqsum.data.index_tables import IndexBatch, IndexBatches
from seqsum.data.labels import Labels, choose_rows
from seqsum.data.own import Skipped
from seqsum.data.review_data import Dataset, ReviewData, TrainOn
from seqsum.data.reviews import Reviews
from seqsum.data.text import UNKNOWN
from seqsum.data.text.own import OwnText, OwnTexts, read_texts
from seqsum.data.text.pieces import Beyond, Pieces
from seqsum.data.text.ragged import pad
from seqsum.errors import InputError, check_at_least, check_choice

Padding = Literal["after", "before"]
PadTo = Literal["batch", "longest"]


class FilmReviews(ReviewData):
    """The Large Movie Review Dataset (Maas et al., 2011): 50,000 reviews of films, half of them for the test.

    Inputs are word ids `(B, T)`, 0 where there is padding and 1 for words that are not in the vocabulary; the targets
    are one label a review, `(B, 1)`, 0 for negative and 1 for positive. Validation takes whole films out of the train
    split, a tenth of it. Reviews are held as one flat tensor and cut and padded on the device.

    Args:
        dataset: `imdb`, the Large Movie Review Dataset; `made`, a small one of made-up sentences; or `auto`, which is
            `imdb` if it is on disk or can be downloaded, else `made`.
        root: Folder with `aclImdb.tar.gz`, `aclImdb_v1.tar.gz` or the unpacked `aclImdb`.
        train_on: Reviews to train on: the `train` split, or `all` but the test split, as in publications without a
            validation split. With `all`, validation reviews are trained on too, so their metrics prove nothing.
        vocabulary_size: Number of word ids: two for padding and unknown words, the others for the most frequent words
            of the training reviews.
        longest: Most words of a review; null for no limit.
        beyond: What happens to longer reviews: `keep_end`, `keep_start`, or `drop` them from every split.
        crop: Words of a random piece that each training review is cut to, another one in each epoch; null for none.
        padding: Whether shorter reviews are padded `after` their end or `before` their start.
        pad_to: Length to pad to: the longest review of the `batch`, or `longest` for all batches.
        bucketing: Whether batches have reviews of similar length.
        mask: Whether the network is told what is padding. Without, it reads padding as a word.
        batch_size: Reviews per batch on each device, `B`.
        seed: Seed of the order and the pieces in training, and of the `labels`; the command line passes
            `seed_everything`.
        labels: Number of reviews to train on, chosen at random, with both classes among them; or `all`. The vocabulary
            is always that of all training reviews, and validation and test stay as they are.
        texts: For `predict`: text files, folders of them, patterns such as `reviews/*.txt`, or a text itself.
    """

    label_names = ("negative", "positive")
    own: OwnTexts

    def __init__(
        self,
        dataset: Dataset = "auto",
        root: str = "data",
        train_on: TrainOn = "train",
        vocabulary_size: int = 20_000,
        longest: int | None = 400,
        beyond: Beyond = "keep_end",
        crop: int | None = None,
        padding: Padding = "after",
        pad_to: PadTo = "batch",
        bucketing: bool = True,
        mask: bool = True,
        batch_size: int = 64,
        seed: int = 0,
        labels: Labels = "all",
        texts: str | list[str] | None = None,
    ) -> None:
        super().__init__(dataset, root, train_on, vocabulary_size, batch_size, seed)
        check_choice("--data.beyond", beyond, Beyond)
        check_choice("--data.padding", padding, Padding)
        check_choice("--data.pad_to", pad_to, PadTo)
        if labels != "all":
            check_at_least("--data.labels", labels, 1)
        for name, limit in (("longest", longest), ("crop", crop)):
            if limit is not None:
                check_at_least(f"--data.{name}", limit, 1)
        if pad_to == "longest" and longest is None:
            raise InputError("`--data.pad_to` (=longest) needs a length, `--data.longest`")
        self.save_hyperparameters(ignore=["texts"])
        self.pieces = Pieces(longest, beyond, crop)
        self.pads_before = padding == "before"
        self.pads_all = pad_to == "longest"
        self.bucketing = bucketing
        self.mask = mask
        self.labels = labels
        self.texts = [texts] if isinstance(texts, str) else texts or []
        self.own = OwnTexts([], [], [])

    def setup(self, stage: str) -> None:
        if stage == "predict":
            self.own = self.own if self.own.texts else self._read_texts()
        else:
            super().setup(stage)

    def choose(self, split: Split, reviews: Reviews) -> Reviews:
        """Drop reviews that are too long, if that is asked for, and leave out those whose labels are not to be used.

        Raises:
            InputError: None is left, or there are too few or too many `labels`.
        """
        kept = self.pieces.keeps(reviews.words.lengths)
        if not kept.any():
            raise InputError(f"`--data.longest` (={self.pieces.longest}) drops all reviews of the {split} split")
        reviews = reviews if kept.all() else reviews.select(kept.nonzero().squeeze(1))
        if split != "train" or self.labels == "all":
            return reviews
        return reviews.select(choose_rows(reviews.labels, self.labels, len(self.label_names), self.seed))

    def make_sampler(self, split: Split, seed: int, rank: int, processes: int) -> IndexBatches:
        """Make the sampler, which puts reviews of similar length together."""
        lengths = self.lengths_read(split, training=split == "train")
        pool, steps = POOL if self.bucketing else 1, self.pieces.longest if self.pads_all else None
        return BucketBatches(split, lengths, self.batch_size, seed, rank, processes, pool, steps)

    def padding_share(self, split: Split) -> float:
        """Compute the share of padding among all steps of the batches of an epoch, the first for `train`."""
        read, computed = 0, 0
        of_reviews = self.lengths_read(split, training=split == "train")
        for batch in self._dataloader(split):
            assert batch.steps is not None, "the sampler of this class sets it"
            read += int(of_reviews[batch.rows].sum())
            computed += len(batch.rows) * batch.steps
        return 1 - read / computed

    def gather(self, batch: IndexBatch) -> Batch:
        """Turn this process's rows of an index table `(B, 1)` into word ids `(B, T)` and labels `(B, 1)`."""
        reviews = self.reviews_on(batch.split, batch.rows.device)
        rows = batch.rows[batch.share].squeeze(-1)
        starts, ends = reviews.words.offsets[rows], reviews.words.offsets[rows + 1]
        pieces = self.pieces.cut(starts, ends - starts, batch)
        assert batch.steps is not None, "the sampler of this class sets it"
        inputs, mask = self._padded(reviews.words.values, *pieces, batch.steps)
        labels = reviews.labels[rows].unsqueeze(1)
        if not self.mask:
            return Batch(inputs, labels, rows=batch.rows)
        return Batch(inputs, labels, mask, torch.ones_like(labels, dtype=torch.bool), batch.rows)

    def _padded(self, values: Tensor, starts: Tensor, lengths: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        """Pad pieces of the corpus, and translate them into ids of the vocabulary."""
        padded, mask = pad(values, starts, lengths, steps, self.pads_before)
        return self.ids_on(values.device)[padded].long(), mask

    def _read_texts(self) -> OwnTexts:
        if not self.texts:
            raise InputError("`--data.texts` must give a text to predict from: a file, a folder, or the text itself")
        found = read_texts(self.texts)
        keeps = self.pieces.keeps(torch.tensor([len(text.words) for text in found.texts])).tolist()
        if not any(keeps):
            raise InputError(f"`--data.longest` (={self.pieces.longest}) drops every text of `--data.texts`")
        for text, kept in zip(found.texts, keeps, strict=True):
            if not kept:
                reason = f"has {len(text.words):,} words; `--data.longest` (={self.pieces.longest}) drops it"
                found.skipped.append(Skipped(text.source, reason))
        return found._replace(texts=[*compress(found.texts, keeps)])

    def text_of(self, split: Split, row: int) -> OwnText:
        """Return the words of a review, whether or not the network knows them, and its file name in the corpus.

        Words that no training review has are kept as `<unknown>` alone.
        """
        assert self.corpus is not None, "`setup` has read it"
        reviews = self.splits[split]
        start, end = reviews.words.offsets[row : row + 2].tolist()
        words = self.corpus.vocabulary.words
        return OwnText([words[number] for number in reviews.words.values[start:end].tolist()], reviews.name(row))

    def words_read(self, text: OwnText) -> list[str]:
        """Return the words of a text that the network reads."""
        return self.pieces.cut_words(text.words)

    def part_read(self, text: OwnText) -> str:
        """Say which part of a text the network reads, such as `the last 400 of 1,234 words`."""
        count, read = len(text.words), len(self.words_read(text))
        if read == count:
            return "1 word" if count == 1 else f"all {count:,} words"
        return f"the {'last' if self.pieces.beyond == 'keep_end' else 'first'} {read:,} of {count:,} words"

    def known(self, words: Sequence[str]) -> list[bool]:
        """Return for each word whether it is in the network's vocabulary."""
        return [number != UNKNOWN for number in self.vocabulary.encode(words)]

    def lengths_read(self, split: Split, training: bool = False) -> Tensor:
        """Return how many words of each review the network reads, `(M,)`, on the CPU, where the sampler needs them."""
        return self.pieces.lengths(self.splits[split].words.lengths.cpu(), training)

    def as_batch(self, text: OwnText) -> Batch:
        """Make an unlabelled batch of one text, inputs `(1, T)`, on the CPU."""
        ids = torch.tensor(self.vocabulary.encode(self.words_read(text)))
        steps = self.pieces.longest if self.pads_all and self.pieces.longest is not None else len(ids)
        inputs, mask = pad(ids, torch.zeros(1, dtype=torch.long), torch.tensor([len(ids)]), steps, self.pads_before)
        return unlabelled(inputs, mask if self.mask else None)

    def own_batches(self) -> list[Batch]:
        """Serve the user's texts as batches of one."""
        return [self.as_batch(text) for text in self.own.texts]

    def describe(self) -> str:
        longest, beyond, _ = self.pieces
        longer = {
            "keep_end": "the end of longer ones",
            "keep_start": "the start of longer ones",
            "drop": "no longer ones",
        }
        length = "" if longest is None else f", up to {longest} words ({longer[beyond]})"
        return f"{self.describe_corpus()}{length}"
