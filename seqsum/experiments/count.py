"""Train networks that count to a thousand, and test how far they come."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqsum.data import DigitSums
from seqsum.data.sums import Operation
from seqsum.errors import InputError
from seqsum.experiments.files import save, save_table
from seqsum.experiments.runs import Run, trained
from seqsum.figures.lengths import plot_length_curves
from seqsum.inspect.restore import load
from seqsum.module import parts_of
from seqsum.networks import SequenceNetwork
from seqsum.objectives.reading import LengthScore, encode, exact_by_length, read_right
from seqsum.options import a_seed, at_least, quoted_flags

BASE = ["-c", "configs/count.yaml"]
CONFIGS = {"count": BASE, "count_10": [*BASE, "-c", "configs/count/count_10.yaml"]}
DRAWN = 200_000  # digits, at least, of sequences that are drawn: two thousand of ten are off by half a percent
LENGTHS = (1, 4, 8, 10, 20, 50, 100, 300, 1000)


class Scores(NamedTuple):
    """How far a network counts.

    Attributes:
        test: Scores with all test digits, by length.
        read_right: Scores with only those digits that it reads correctly if it reads one alone.
    """

    test: list[LengthScore]
    read_right: list[LengthScore]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this experiment."""
    parser.add_argument("--names", nargs="+", choices=CONFIGS, default=list(CONFIGS), help="configurations to train")
    parser.add_argument("--seeds", nargs="+", action=a_seed(), default=[0, 1, 2])
    parser.add_argument(
        "--sequences", action=at_least(1), default=2_000, help="test sequences of each length, at least"
    )
    parser.add_argument(
        "--reading", type=quoted_flags, default=[], help="other flags for the trainings that read, in quotation marks"
    )
    parser.add_argument(
        "--counting", type=quoted_flags, default=[], help="other flags for the trainings that count, likewise"
    )
    parser.add_argument("arguments", nargs="*", help="other flags for all trainings, after --, such as --data.root=…")


def run(options: argparse.Namespace) -> None:
    """Train what is not trained yet, seed by seed; print a table, and write table, figure and numbers."""
    scores: dict[str, dict[int, Scores]] = {name: {} for name in options.names}
    for seed in options.seeds:  # all networks with one seed first, so that an interruption leaves complete seeds
        start = read(seed, options)
        for name in options.names:
            scores[name][seed] = test(restore(count(name, seed, start, options).checkpoint), options.sequences)
    rows = [row(name, seed, found) for name, seeds in scores.items() for seed, found in seeds.items()]
    save_table("share of exactly right sums by length", "count", rows, options)
    means = {name: mean_shares(list(seeds.values())) for name, seeds in scores.items()}
    digit = float(torch.stack(list(means.values()))[:, 0].mean())
    save(plot_length_curves(LENGTHS, means, digit), options.output / "count.png")


def read(seed: int, options: argparse.Namespace) -> Run:
    """Train the encoder of a seed, unless it is trained already."""
    arguments = ["-c", "configs/reading.yaml", f"--seed_everything={seed}", *options.reading, *options.arguments]
    return trained(options.output, f"reading_seed{seed}", arguments)


def count(name: str, seed: int, start: Run, options: argparse.Namespace) -> Run:
    """Train a network that counts from the encoder of a run, unless it is trained already."""
    begin = [f"--model.encoder.start_from={start.checkpoint}", f"--seed_everything={seed}"]
    arguments = [*CONFIGS[name], *begin, *options.counting, *options.arguments]
    return trained(options.output, f"{name}_seed{seed}", arguments)


class Digits(NamedTuple):
    """A trained network, and digits of the test split as it encodes them.

    Attributes:
        network: The network.
        features: `(N, F)`.
        labels: `(N,)`.
        operation: Signs of the sums that the network was trained on.
    """

    network: SequenceNetwork
    features: Tensor
    labels: Tensor
    operation: Operation

    def read_right(self) -> Digits:
        """Keep the digits that the network reads correctly if it reads one alone."""
        kept = read_right(self.network, self.features, self.labels)
        return self._replace(features=self.features[kept], labels=self.labels[kept])


def restore(checkpoint: Path) -> Digits:
    """Restore a trained network, and let it encode the test split."""
    module, data, _ = load(checkpoint)
    if not isinstance(data, DigitSums):
        raise InputError(f"{checkpoint} was not trained on digit sums")
    data.load()
    network, (images, labels) = parts_of(module), data.splits["test"]
    return Digits(network, encode(network, images), labels, data.operation)


def test(digits: Digits, sequences: int) -> Scores:
    """Test a network by length."""
    return Scores(by_length(digits, sequences), by_length(digits.read_right(), sequences))


def by_length(digits: Digits, sequences: int) -> list[LengthScore]:
    """Test a network on at least so many sequences of each length, of all digits once or else of many drawn ones."""
    found = []
    for length in LENGTHS:
        drawn = sequences * length > len(digits.labels)
        found += exact_by_length(*digits, [length], max(sequences, DRAWN // length) if drawn else sequences)
    return found


def row(name: str, seed: int, scores: Scores) -> dict[str, Any]:
    """Make the table's row for a training."""
    perfect = {f"{score.length}, read right": share(score) for score in scores.read_right if score.length >= 100}
    return {
        "configuration": name,
        "seed": seed,
        **{str(score.length): share(score) for score in scores.test},
        **perfect,
    }


def share(score: LengthScore) -> float:
    """Share of right sums, as the table shows it: four digits for single digits, else three."""
    return round(score.right / score.sequences, 4 if score.length == 1 else 3)


def mean_shares(runs: list[Scores]) -> Tensor:
    """Compute the mean share of right sums over several seeds, at each length."""
    return torch.tensor([[score.right / score.sequences for score in run.test] for run in runs]).mean(0)
