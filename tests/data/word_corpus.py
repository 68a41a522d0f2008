"""A corpus of ten words, whose pairs can be counted by hand."""

from __future__ import annotations

import torch

from seqsum.data import WordPairs
from seqsum.data.index_tables import IndexBatch
from seqsum.data.reviews import Corpus, Reviews
from seqsum.data.text import Ragged, Vocabulary

WORDS = ["i", "like", "to", "cuddle", "dogs", "cats", "and", "hate", "the", "rain"]
SENTENCES = ["i like to cuddle dogs", "cats and dogs", "i hate the rain", "rain"]


def reviews_of(sentences: list[str], vocabulary: Vocabulary) -> Reviews:
    """Encode sentences as reviews."""
    encoded = [vocabulary.encode(sentence.split()) for sentence in sentences]
    offsets = torch.tensor([0, *map(len, encoded)]).cumsum(0)
    count = len(sentences)
    values = torch.tensor([number for words in encoded for number in words], dtype=torch.int32)
    return Reviews(Ragged(values, offsets), torch.zeros(count).long(), torch.zeros(count, 3).long())


def of_sentences(sentences: list[str] = SENTENCES, **options) -> WordPairs:
    """Make data of sentences, which all splits have; by default all words within a fixed window of two are pairs."""
    settings = {"window": 2, "dynamic": False, "subsample": None, "vocabulary_size": 12, "batch_size": len(sentences)}
    data = WordPairs(**settings | options)
    vocabulary = Vocabulary(WORDS)
    data.corpus = Corpus(dict.fromkeys(("train", "val", "test"), reviews_of(sentences, vocabulary)), vocabulary)
    data.setup("fit")
    return data


def batches_of(data: WordPairs, epoch: int = 0, split: str = "train") -> list:
    """Make the batches of an epoch."""
    loader = getattr(data, f"{split}_dataloader")()
    loader.sampler.set_epoch(epoch)
    return [data.gather(table) for table in loader]


def table_of(data: WordPairs, rows: list[int], seed: int = 0, steps: int = 32) -> IndexBatch:
    """Make an index table of some of the reviews."""
    return IndexBatch("train", torch.tensor(rows).unsqueeze(1), seed, steps=steps)


def pairs_of(data: WordPairs, batch) -> list[tuple[str, str]]:
    """List the pairs of a batch: word and neighbour for skip-gram, neighbour and word for CBOW."""
    words = data.vocabulary.words
    inputs, targets = torch.broadcast_tensors(batch.inputs, batch.targets)
    exist = batch.target_mask if data.mode == "skipgram" else batch.mask  # what is scored, and what is averaged
    found = zip(inputs[exist].tolist(), targets[exist].tolist(), strict=True)
    return [(words[first], words[second]) for first, second in found]
