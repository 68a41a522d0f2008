"""Measure what each part of counting does alone: the main job with one part added, and how far it counts."""

from __future__ import annotations

import argparse
from itertools import pairwise

from torch import Tensor

from seqsum.data.digit_sums import SEQUENCE_LENGTH
from seqsum.experiments.count import Digits, Scores, mean_shares, restore, row, test
from seqsum.experiments.files import save, trained_on
from seqsum.experiments.runs import Run, trained
from seqsum.figures import plot_causes
from seqsum.objectives.reading import final_sums, run_long
from seqsum.options import a_seed, at_least
from seqsum.tables import show, write, write_markdown

WITHOUT = [
    *("-c", "configs/sum.yaml", "--data.sequence_length=4"),
    *("--model.encoder.activation=softmax", "--model.encoder.views=1"),
]
CHOICE = ["--model.encoder.activation=choice"]
LONGER = [f"--data.sequence_length={SEQUENCE_LENGTH}"]
VIEWS = ["--model.encoder.views=3"]
READ_FIRST = "read first"
ENCODER = {"depth": 1, "output_size": 128, "activation": "softmax", "dropout": 0}
READING = [  # the main job's encoder and data, half as long
    *(f"--model.network.encoder.{name}={value}" for name, value in ENCODER.items()),
    *("--model.network.linear=true", "--model.learning_rate=0.005", "--model.weight_decay=0.01"),
    *("--data.batch_size=128", "--data.elastic=0", "--trainer.max_epochs=10"),
]
LONG, RUNS = 1000, 50  # steps and number of the sequences on which errors grow
AWAY = 0.2  # from the nearest number: a digit that is read as none
ENDS = (10, 100, LONG)  # of the stretches of steps whose errors are compared
PARTS = {
    "none": [],
    "choice": CHOICE,
    "recurrent dropout": ["--model.recurrent_dropout=0.3", "--trainer.callbacks=seqsum.callbacks.EndRecurrentDropout"],
    "longer": LONGER,
    "views": VIEWS,
    READ_FIRST: [],  # and the encoder of `read`
    "carry": ["--model.carry=20"],
    "the default": [*CHOICE, *LONGER, *VIEWS],
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this experiment."""
    parser.add_argument("--names", nargs="+", choices=PARTS, default=list(PARTS), help="parts to add")
    parser.add_argument("--seeds", nargs="+", action=a_seed(), default=[0, 1, 2])
    parser.add_argument(
        "--sequences", action=at_least(1), default=2_000, help="test sequences of each length, at least"
    )
    parser.add_argument("arguments", nargs="*", help="other flags for all trainings, after --, such as --data.root=…")


def run(options: argparse.Namespace) -> None:
    """Train what is not trained yet, seed by seed; print a table of means, and write it with numbers and a figure."""
    scores: dict[str, list[Scores]] = {name: [] for name in options.names}
    causes = {}
    for seed in options.seeds:  # all parts with one seed first, so that an interruption leaves complete seeds
        for name in options.names:
            digits = restore(train(name, seed, options).checkpoint)
            scores[name].append(test(digits, options.sequences))
            if seed == options.seeds[0]:
                causes[name] = cause(digits)
    means = [mean(name, found) for name, found in scores.items()]
    runs = [row(name, seed, found) for name in scores for seed, found in zip(options.seeds, scores[name], strict=True)]
    why = [explain(name, *found) for name, found in causes.items()]
    show(f"share of exactly right sums by length, mean of {len(options.seeds)} seeds", means)
    show(f"why networks lose count, seed {options.seeds[0]}", why)
    write_markdown(options.output / "parts.md", means)
    write_markdown(options.output / "causes.md", why)
    write(options.output / "parts.json", trained_on(), options, [*means, *runs, *why])
    save(plot_causes(causes), options.output / "parts.png")


def cause(digits: Digits) -> tuple[Tensor, Tensor, Tensor]:
    """Find why a network loses count, for `plot_causes`; long runs have only digits that it reads correctly.

    Returns:
        What it reads from single digits, `(N,)`; errors of its increments, `(B, T)`; and true running sums, `(B, T)`.
    """
    readings = final_sums(*digits, 1, 1)[0]
    run = run_long(*digits.read_right(), LONG, RUNS)
    return readings, run.errors, run.targets


def explain(name: str, readings: Tensor, errors: Tensor, _: Tensor) -> dict[str, object]:
    """Make the row of the table of causes: digits read as no number, and root mean square errors of increments."""
    away = ((readings - readings.round()).abs() > AWAY).double().mean()
    rms = {
        f"error, steps {start + 1} to {end}": float(f"{errors[:, start:end].double().square().mean().sqrt():.2g}")
        for start, end in pairwise((0, *ENDS))
    }
    return {"part": name, "read as no number, %": round(100 * float(away), 2)} | rms


def train(name: str, seed: int, options: argparse.Namespace) -> Run:
    """Train the main job with a part and a seed, unless it is trained already."""
    more = [f"--seed_everything={seed}", *options.arguments]
    start = [f"--model.encoder.start_from={read(more, seed, options).checkpoint}"] if name == READ_FIRST else []
    folder = f"{name.replace(' ', '_')}_seed{seed}"
    return trained(options.output, folder, [*WITHOUT, *PARTS[name], *start, *more])


def read(more: list[str], seed: int, options: argparse.Namespace) -> Run:
    """Train the main job's encoder to read, unless it is trained already."""
    return trained(options.output, f"reading_seed{seed}", ["-c", "configs/reading.yaml", *READING, *more])


def mean(name: str, found: list[Scores]) -> dict[str, object]:
    """Make the table's row for a part: mean shares over the seeds."""
    lengths = [score.length for score in found[0].test]
    return {"part": name} | {
        str(length): round(float(share), 4) for length, share in zip(lengths, mean_shares(found), strict=True)
    }
