"""Compare how far recurrent networks count if all read the same digits equally well."""

from __future__ import annotations

import argparse
import json
from itertools import product
from pathlib import Path
from typing import Any, cast

import torch
from scipy.stats import t as student
from torch import Tensor

from seqsum.data import DigitSums, EncodedSums
from seqsum.data.sums import Operation
from seqsum.errors import InputError
from seqsum.experiments.files import save_table
from seqsum.experiments.runs import trained
from seqsum.files import replacing, write_atomically
from seqsum.inspect.restore import load
from seqsum.module import parts_of
from seqsum.networks.image_encoders import ImageEncoder
from seqsum.objectives.reading import encode, final_sums
from seqsum.options import a_seed, at_least

VIEWS = 5  # as in configs/count.yaml
LENGTHS = (1, 10, 100, 1000)
OPERATIONS: tuple[Operation, ...] = ("sum", "alternating")
ACCUMULATOR = "accumulator"
CELLS = "seqsum.experiments.accumulator"
COUNTERS: dict[Operation, str] = {"sum": f"{CELLS}.Accumulator", "alternating": f"{CELLS}.AlternatingAccumulator"}
NETWORKS: dict[str, list[str]] = {
    ACCUMULATOR: ["--model.hidden_size=1"],
    "rnn": ["--model.cell=rnn"],
    "irnn": ["--model.cell=irnn"],
    "gru": ["--model.cell=gru"],
    "lstm_tanh": ["--model.output_activation=tanh"],
    "lstm": [],
    "lstm_recipe": ["--config=configs/counting/recipe.yaml"],
}
PUBLISHED = {  # success by length, running sums (Madsen & Johansen, 2020)
    "NAU": (0.7, 0.8, 0.7, 0.8),
    "NAC+": (0.1, 0.1, 0.0, 0.0),
    "NALU": (0.0, 0.0, 0.0, 0.0),
    "LSTM, one unit, no head": (0.0, 0.0, 0.0, 0.0),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this experiment."""
    parser.add_argument("--encoder", help="checkpoint of configs/reading.yaml; default: train it with seed 0 first")
    parser.add_argument("--names", nargs="+", choices=NETWORKS, default=list(NETWORKS), help="networks to train")
    parser.add_argument("--operations", nargs="+", choices=OPERATIONS, default=list(OPERATIONS))
    parser.add_argument("--seeds", nargs="+", action=a_seed(), default=list(range(10)))
    parser.add_argument(
        "--sequences", action=at_least(1), default=2_000, help="test sequences of each length, at least"
    )
    parser.add_argument("--data-root", default="data", help="folder of MNIST")
    parser.add_argument("arguments", nargs="*", help="other flags for the networks' trainings, after --")


def run(options: argparse.Namespace) -> None:
    """Train what is not trained yet, seed by seed; print a table of successes, and write table and numbers."""
    if len(options.seeds) < 2:
        raise InputError(
            f"`--seeds` (={options.seeds}) must be at least two, because several runs tell what success is"
        )
    names = list(dict.fromkeys([ACCUMULATOR, *options.names]))  # the others are judged by it
    features = write_features(options)
    errors: dict[tuple[Operation, str], list[list[float]]] = {}
    for seed, operation, name in product(options.seeds, options.operations, names):
        checkpoint = train(name, operation, seed, features, options)
        errors.setdefault((operation, name), []).append(test(checkpoint, features, options.sequences))
    rows = [row(operation, name, found, errors[operation, ACCUMULATOR]) for (operation, name), found in errors.items()]
    published = [{"operation": "sum", "network": name, **by_length("success", of)} for name, of in PUBLISHED.items()]
    save_table("success by length, and root of the mean squared error", "counting", rows, options, [*rows, *published])


def write_features(options: argparse.Namespace) -> Path:
    """Write what the encoder makes of all digits, once.

    Raises:
        InputError: The folder contains the features of another encoder or of other digits.
    """
    path: Path = options.output / "features.pt"
    made_by, listed = {"encoder": options.encoder, "data_root": options.data_root}, path.with_suffix(".json")
    if path.is_file():
        before = json.loads(listed.read_text(encoding="utf-8")) if listed.is_file() else made_by
        if before != made_by:
            raise InputError(
                f"`--output` (={options.output}) contains features of another encoder or other digits "
                f"({before}, not {made_by}): name another folder"
            )
        return path
    checkpoint = options.encoder
    if checkpoint is None:
        arguments = ["-c", "configs/reading.yaml", "--seed_everything=0", f"--data.root={options.data_root}"]
        checkpoint = trained(options.output, "reading_seed0", arguments).checkpoint
    module, data, _ = load(checkpoint, options.data_root)
    if not isinstance(data, DigitSums):
        raise InputError(f"`--encoder` (={checkpoint}) was not trained on digit sums")
    data.load()
    network = parts_of(module)
    cast("ImageEncoder", network.encoder.module).choose(VIEWS)
    encoded = {
        split: {"features": encode(network, digits.images), "labels": digits.labels}
        for split, digits in data.splits.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(listed, json.dumps(made_by) + "\n")
    with replacing(path) as file:
        torch.save(encoded, file)
    return path


def train(name: str, operation: Operation, seed: int, features: Path, options: argparse.Namespace) -> Path:
    """Train a network on the features, unless it is trained already; return its best checkpoint."""
    cell = [f"--model.cell={COUNTERS[operation]}"] if name == ACCUMULATOR else []
    data = [f"--data.features={features}", f"--data.operation={operation}", f"--seed_everything={seed}"]
    arguments = ["--config=configs/counting.yaml", *NETWORKS[name], *cell, *data, *options.arguments]
    return trained(options.output, f"{operation}_{name}_seed{seed}", arguments).checkpoint


def test(checkpoint: Path, features: Path, sequences: int) -> list[float]:
    """Compute the mean squared error of the final sum for each length."""
    module, data, _ = load(checkpoint)
    if not isinstance(data, EncodedSums):
        raise InputError(f"{checkpoint} was not trained on features")
    data.path = str(features)
    data.load()
    digits = data.splits["test"]
    finals = [
        final_sums(parts_of(module), digits["features"], digits["labels"], data.operation, length, sequences)
        for length in LENGTHS
    ]
    return [float((sums - targets).square().mean()) for sums, targets in finals]


def row(operation: Operation, name: str, errors: list[list[float]], ceiling: list[list[float]]) -> dict[str, Any]:
    """Make a network's row in the table: the share of its runs that succeed, and the lower median error, by length."""
    success = successes(torch.tensor(errors), torch.tensor(ceiling))
    medians = torch.tensor(errors).sqrt().median(0).values
    return {
        "operation": operation,
        "network": name,
        **by_length("success", success.tolist()),
        **by_length("error", [float(f"{error:.3g}") for error in medians.tolist()]),
    }


def successes(errors: Tensor, ceiling: Tensor) -> Tensor:
    """Compute the share of runs that succeed at each length (Madsen & Johansen, 2020).

    A run succeeds if its error is within the one-sided 99 % confidence interval of the mean error of the accumulator,
    by Student's t.

    Args:
        errors: Mean squared error of each run at each length, `(R, L)`.
        ceiling: That of the accumulator's runs, `(S, L)`.
    """
    ceiling, runs = ceiling.double(), len(ceiling)
    limit = ceiling.mean(0) + student.ppf(0.99, runs - 1) * ceiling.std(0) / runs**0.5
    return (errors.double() <= limit).double().mean(0)


def by_length(what: str, values: Any) -> dict[str, float]:
    """Name a value for each length."""
    return {f"{what} at {length}": value for length, value in zip(LENGTHS, values, strict=True)}
