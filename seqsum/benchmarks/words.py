"""Words a second that word vectors are trained on, beside gensim with the same settings."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from itertools import cycle
from typing import Any, NamedTuple

import torch

from seqsum.benchmarks.timing import Timing, seconds_of, take_turns
from seqsum.data import Batch, WordPairs
from seqsum.data.index_tables import IndexBatch
from seqsum.data.text import UNKNOWN
from seqsum.data.word_pairs import Mode
from seqsum.networks import WordVectors
from seqsum.objectives import WordPrediction
from seqsum.options import above, at_least
from seqsum.tables import machine

MODES: tuple[Mode, ...] = ("skipgram", "cbow")
NEGATIVES = 5  # of a right word
RATE = 0.01  # of Adam, as in the configurations


SOFTMAX = "seqsum, full softmax"
FEW = 50  # the full softmax reads one in so many of the reviews
SMALL = 5  # reviews in its batches, whose scores of all words take 0.1 GB


class Contestant(NamedTuple):
    """A program that trains on reviews.

    Attributes:
        train: Trains on them once.
        read: Known words in them.
        trained: Words that are trained on; the others are left out by subsampling.
    """

    train: Callable[[], object]
    read: int
    trained: int

    def seconds(self, words: int, device: torch.device) -> float:
        """Train, and return the seconds that so many words would take."""
        return seconds_of(self.train, device) * words / self.read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--data-root", help="folder with aclImdb; default: made-up reviews")
    parser.add_argument(
        "--reviews", action=at_least(1), default=1_000, help="reviews that a contestant reads in a round"
    )
    parser.add_argument("--size", action=at_least(1), default=100, help="numbers in a vector")
    parser.add_argument("--window", action=at_least(1), default=5, help="most words between a word and a neighbour")
    parser.add_argument("--subsample", action=above(0), default=1e-3, help="frequency above which words are left out")


def run(arguments: argparse.Namespace, device: torch.device) -> list[dict[str, Any]]:
    """Measure skip-gram and CBOW: a row for each contestant, whose speed is relative to gensim's, if that is there.

    Both read the same reviews and know the same words; the full softmax reads fewer of them. gensim subsamples by
    another formula, so words that are read and words that are trained on are counted apart.
    """
    print(", ".join(f"{name} {value}" for name, value in machine(device).items()))
    rows = []
    for mode in MODES:
        contestants = make_contestants(mode, arguments, device)
        words = contestants["seqsum"].read
        for each in contestants.values():
            for _ in range(arguments.warm_up):
                each.train()
        turns = {name: partial(each.seconds, words, device) for name, each in contestants.items()}
        timings = take_turns(turns, "gensim" if "gensim" in turns else "seqsum", arguments.rounds)
        rows += [row(mode, name, timings[name], words, each) for name, each in contestants.items()]
    return rows


def make_contestants(mode: Mode, arguments: argparse.Namespace, device: torch.device) -> dict[str, Contestant]:
    """Make seqsum's contestants, and gensim's if it is installed."""
    data, full = make_data(mode, arguments), make_data(mode, arguments, negatives=0, batch_size=SMALL)
    tables = take_tables(data, arguments.reviews)
    contestants = {
        "seqsum": ours(data, tables, arguments, device),
        SOFTMAX: ours(full, take_tables(full, -(-arguments.reviews // FEW)), arguments, device),
    }
    if find_spec("gensim") is None:
        print("Without gensim, which is not installed: pip install gensim")
        return contestants
    return contestants | {"gensim": gensim_on(data, tables, arguments)}


def make_data(mode: Mode, arguments: argparse.Namespace, **options: int) -> WordPairs:
    """Read the reviews."""
    place = {"dataset": "made"} if arguments.data_root is None else {"dataset": "imdb", "root": arguments.data_root}
    given: dict[str, Any] = {"window": arguments.window, "subsample": arguments.subsample, **place, **options}
    data = WordPairs(mode, **given)
    data.setup("fit")
    return data


def take_tables(data: WordPairs, reviews: int) -> list[IndexBatch]:
    """Take the first batches of an epoch, of so many reviews in all."""
    tables = list(data.train_dataloader())
    count = -(-reviews // data.batch_size)
    return tables[:count]


def texts_of(data: WordPairs, tables: list[IndexBatch]) -> list[list[str]]:
    """Return the reviews of index tables as known words."""
    reviews, names = data.splits["train"].words, data.vocabulary.words
    ids = data.ids_on(torch.device("cpu"))[reviews.values.cpu()].tolist()
    offsets = reviews.offsets.tolist()
    rows = [row for table in tables for row in table.rows.flatten().tolist()]
    return [[names[number] for number in ids[offsets[row] : offsets[row + 1]] if number > UNKNOWN] for row in rows]


def ours(data: WordPairs, tables: list[IndexBatch], arguments: argparse.Namespace, device: torch.device) -> Contestant:
    """Make seqsum's contestant: batches, both passes, and Adam, as in a training."""
    torch.manual_seed(0)
    network = WordVectors(data.vocabulary_size, arguments.size, data.window).to(device)
    objective = WordPrediction(NEGATIVES)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE, fused=True)
    on_device = [table._replace(rows=table.rows.to(device)) for table in tables]
    exist = [words_in(data.gather(table)) for table in on_device]
    seeds: Iterator[int] = cycle(range(1_000))  # negatives and windows are drawn anew in each round

    def train() -> None:
        seed = next(seeds)
        for table in on_device:
            batch = data.gather(table._replace(seed=seed))
            optimizer.zero_grad()
            objective.loss(network(batch), batch).backward()
            optimizer.step()

    return Contestant(train, sum(map(len, texts_of(data, tables))), sum(exist))


def words_in(batch: Batch) -> int:
    """Count the words of a batch that are trained on."""
    mask = batch.mask if batch.inputs.shape[1] == 1 else batch.target_mask
    return 0 if mask is None else int(mask.sum())


def gensim_on(data: WordPairs, tables: list[IndexBatch], arguments: argparse.Namespace) -> Contestant:
    """Make gensim's contestant, with as many threads as torch has."""
    from gensim.models import Word2Vec

    model = Word2Vec(
        vector_size=arguments.size,
        window=arguments.window,
        negative=NEGATIVES,
        sample=arguments.subsample,
        sg=int(data.mode == "skipgram"),
        min_count=1,
        workers=torch.get_num_threads(),
        seed=0,
    )
    texts = texts_of(data, tables)
    counts = dict(zip(data.vocabulary.words, data.counts().tolist(), strict=True))
    model.build_vocab_from_freq({word: count for word, count in counts.items() if count > 0})
    words = sum(map(len, texts))

    def train() -> tuple[int, int]:
        return model.train(texts, total_examples=len(texts), total_words=words, epochs=1)

    trained, _ = train()
    return Contestant(train, words, trained)


def row(mode: str, name: str, timing: Timing, words: int, contestant: Contestant) -> dict[str, Any]:
    """Make the table's row for a contestant, whose timing is of so many words read."""
    rate = words / timing.median
    return {
        "model": mode,
        "what": name,
        "words read, 1/s": f"{round(rate):,}",
        "words trained on, 1/s": f"{round(rate * contestant.trained / contestant.read):,}",
        "speed": round(timing.speed, 3),
        "quartiles": f"{timing.lower_speed:.3f} to {timing.upper_speed:.3f}",
        "rounds": timing.n,
    }
