"""Base DataModule of the words of film reviews: reads the corpus, and knows the vocabulary."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from seqsum.data.base import Split
from seqsum.data.indexed import IndexedData
from seqsum.data.reviews import Corpus, Reviews, join, obtain_corpus
from seqsum.data.text import UNKNOWN, Vocabulary
from seqsum.errors import check_at_least, check_choice

Dataset = Literal["auto", "imdb", "made"]
TrainOn = Literal["train", "all"]


class ReviewData(IndexedData):
    """Reads film reviews, and holds each split as one flat tensor of word ids.

    Args:
        dataset: `imdb`, the Large Movie Review Dataset; `made`, a small one of made-up sentences; or `auto`, which is
            `imdb` if it is on disk or can be downloaded, else `made`.
        root: Folder with `aclImdb.tar.gz`, `aclImdb_v1.tar.gz` or the unpacked `aclImdb`.
        train_on: Reviews to train on: the `train` split, or `all` but the test split.
        vocabulary_size: Number of word ids: two for padding and unknown words, the others for the most frequent words
            of the training reviews.
        batch_size: Reviews per batch on each device.
        seed: Seed of everything random in training.

    Attributes:
        corpus: All reviews, by the ids of the corpus's own vocabulary; None before `setup`.
        splits: The reviews of each split that are used.
        vocabulary: The words that the network knows; in a restored training, those of its checkpoint.
    """

    def __init__(
        self,
        dataset: Dataset,
        root: str,
        train_on: TrainOn,
        vocabulary_size: int,
        batch_size: int,
        seed: int,
    ) -> None:
        super().__init__((1, 1), batch_size, seed)
        check_choice("--data.dataset", dataset, Dataset)
        check_choice("--data.train_on", train_on, TrainOn)
        check_at_least("--data.vocabulary_size", vocabulary_size, 3)
        self.dataset: str = dataset
        self.root = root
        self.trains_on_all = train_on == "all"
        self.vocabulary_size = vocabulary_size
        self.corpus: Corpus | None = None
        self.splits: dict[Split, Reviews] = {}
        self.vocabulary = Vocabulary([])
        self._ids: Tensor | None = None  # from ids of the corpus to those of the vocabulary, `(V,)`

    def setup(self, stage: str) -> None:
        self.dataset, corpus = self.read_once(self._read)
        if not self.splits:
            self._take(corpus)

    def load(self) -> None:
        """Read the corpus, and set `dataset` to its name."""
        self.dataset, self.corpus = self._read()

    def _read(self) -> tuple[str, Corpus]:
        """Read the corpus, unless that was done before; return its name, too."""
        if self.corpus is not None:
            return self.dataset, self.corpus
        return obtain_corpus(self.dataset, Path(self.root))

    def _take(self, corpus: Corpus) -> None:
        """Keep the reviews of a corpus that are used, and choose the vocabulary."""
        self.corpus = corpus
        splits = dict(corpus.splits)
        if self.trains_on_all:
            splits["train"] = join(splits["train"], splits["val"])
        self.splits = {split: self.choose(split, reviews) for split, reviews in splits.items()}
        if len(self.vocabulary) == len(Vocabulary([])):  # otherwise it is that of a checkpoint
            self.vocabulary = corpus.vocabulary.most_frequent(self.vocabulary_size)
        self._ids = None

    def choose(self, split: Split, reviews: Reviews) -> Reviews:
        """Choose the reviews of a split that are used: here all."""
        return reviews

    def state_dict(self) -> dict[str, Any]:
        """Return the words that the network knows, for checkpoints: its weights mean nothing without them."""
        return {"words": "\n".join(self.vocabulary.words[UNKNOWN + 1 :])}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Encode everything by the words of a checkpoint."""
        self.vocabulary = Vocabulary(state_dict["words"].split("\n"))
        self._ids = None

    def count(self, split: Split) -> int:
        return len(self.splits[split].labels)

    def reviews_on(self, split: Split, device: torch.device) -> Reviews:
        """Return a split, moved to the device on first use."""
        reviews = self.splits[split]
        if reviews.labels.device != device:
            words, labels, origins = reviews
            reviews = self.splits[split] = Reviews(words.to(device), labels.to(device), origins)
        return reviews

    def ids_on(self, device: torch.device) -> Tensor:
        """Return the vocabulary's id for each id of the corpus, int32 `(V,)`, moved to the device on first use."""
        if self._ids is None:
            assert self.corpus is not None, "`setup` keeps it before any batch is made"
            self._ids = self.corpus.vocabulary.translation(self.vocabulary)
        if self._ids.device != device:
            self._ids = self._ids.to(device)
        return self._ids

    def describe_corpus(self) -> str:
        """Describe the reviews and the vocabulary."""
        counts = ", ".join(f"{len(reviews.labels):,} {split}" for split, reviews in self.splits.items())
        return f"{self.dataset} film reviews ({counts}), {len(self.vocabulary) - UNKNOWN - 1:,} known words"
