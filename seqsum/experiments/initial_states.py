"""Test networks with other initial states than they were trained with."""

from __future__ import annotations

import argparse
from typing import Any

from seqsum.experiments.files import save, save_table
from seqsum.experiments.rows import SET_UPS, train
from seqsum.experiments.runs import Run, accuracies, spread, tested
from seqsum.figures.comparison import plot_comparison
from seqsum.options import a_seed

TRAINED = ("zero", "random", "learned")
TESTED = ("zero", "random", "1000")
PUBLISHED = {("rows_rnn_128", "zero", "1000"): 0.663, ("rows_rnn_64", "zero", "1000"): 0.388} | {
    ("rows_rnn_128", "zero", "zero"): 0.924,
    ("rows_rnn_64", "zero", "zero"): 0.777,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this experiment."""
    names = ["rows_rnn_128", "rows_rnn_64"]
    parser.add_argument("--names", nargs="+", choices=SET_UPS, default=names, help="configurations to train")
    parser.add_argument("--seeds", nargs="+", action=a_seed(), default=[0, 1, 2])
    parser.add_argument("arguments", nargs="*", help="other flags for train.py, after --, such as --data.root=…")


def run(options: argparse.Namespace) -> None:
    """Train and test with each initial state; print and write a table, its figure and its numbers."""
    found: dict[tuple[str, str, str], list[float]] = {}
    for name in options.names:
        for start in TRAINED:
            more = () if start == "zero" else (f"--model.initial_state={start}",)
            runs = [train(name, seed, options, *more) for seed in options.seeds]
            for other in dict.fromkeys((start, *TESTED)):
                found[name, start, other] = accuracies([test(run, start, other, options) for run in runs])
    rows = [row(*key, values) for key, values in found.items()]
    save_table("initial states", "initial_states", rows, options)
    named = {" ".join(key[:2]) + f" → {key[2]}": values for key, values in found.items()}
    published = {" ".join(key[:2]) + f" → {key[2]}": PUBLISHED[key] for key in found if key in PUBLISHED}
    save(plot_comparison(named, published, "test accuracy, %"), options.output / "initial_states.png")


def test(run: Run, trained_with: str, initial_state: str, options: argparse.Namespace) -> Run:
    """Test a training's best checkpoint with another initial state, unless it is tested already."""
    if initial_state == trained_with:
        return run
    return tested(options.output, run, f"--model.initial_state={initial_state}")


def row(name: str, trained_with: str, tested_with: str, found: list[float]) -> dict[str, Any]:
    """Make the table's row for a pair of initial states."""
    published = PUBLISHED.get((name, trained_with, tested_with))
    return {
        "configuration": name,
        "trained with": trained_with,
        "tested with": tested_with,
        **spread(found),
        "published": f"{published or '–'}",
    }
