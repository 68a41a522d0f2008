"""Measure how well networks of equal size recall symbols after a number of blanks."""

from __future__ import annotations

import argparse
from functools import partial
from statistics import mean
from typing import Any

import torch

from seqsum.experiments.files import save, save_table
from seqsum.experiments.runs import Run, accuracies, spread, trained, training_seconds
from seqsum.figures.copy_memory import plot_memory
from seqsum.module import SequenceModule
from seqsum.networks import Flatten
from seqsum.networks.budget import largest_size
from seqsum.objectives import Recall
from seqsum.options import a_seed, at_least

SYMBOLS = 9
# flags added to the configuration, whose learning rate is too large for cells without gates
CELLS = {
    "rnn": ["--model.forget_bias=null", "--model.learning_rate=0.001"],
    "irnn": ["--model.forget_bias=null", "--model.learning_rate=0.001"],
    "gru": [],
    "lstm": [],
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this experiment."""
    parser.add_argument("--config", default="configs/memory_blanks.yaml", help="configuration of all trainings")
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS))
    parser.add_argument(
        "--blanks", nargs="+", action=at_least(0), default=[0, 10, 20, 40], help="numbers of blanks to wait"
    )
    parser.add_argument(
        "--budget", action=at_least(1), default=46_210, help="largest number of parameters of a network"
    )
    parser.add_argument("--epochs", action=at_least(1), default=4)
    parser.add_argument("--seeds", nargs="+", action=a_seed(), default=[0, 1, 2])
    parser.add_argument("arguments", nargs="*", help="other flags for train.py, after --")


def run(options: argparse.Namespace) -> None:
    """Train the networks that are not trained yet, seed by seed; print a table, and write table, figure and numbers."""
    waits = sorted(options.blanks)
    sizes = {cell: largest_size(partial(build, cell), options.budget) for cell in options.cells}
    runs: dict[tuple[str, int], list[Run]] = {(cell, n): [] for n in waits for cell in options.cells}
    for seed in options.seeds:
        for cell, blanks in runs:
            runs[cell, blanks].append(train(cell, blanks, sizes[cell], seed, options))
    rows = [row(cell, blanks, sizes[cell], found) for (cell, blanks), found in runs.items()]
    save_table("copy memory", "memory", rows, options)
    reached = {cell: [accuracies(runs[cell, blanks]) for blanks in waits] for cell in options.cells}
    save(plot_memory(waits, reached, chance=1 / SYMBOLS), options.output / "memory.png")


def build(cell: str, hidden_size: int) -> SequenceModule:
    """Build the network on the meta device, to count its parameters."""
    with torch.device("meta"):
        return SequenceModule(
            cell=cell, hidden_size=hidden_size, encoder=Flatten(SYMBOLS + 2), objective=Recall(SYMBOLS)
        )


def train(cell: str, blanks: int, hidden_size: int, seed: int, options: argparse.Namespace) -> Run:
    """Train one network with one seed, unless it is trained already."""
    arguments = [
        *("-c", options.config, f"--model.cell={cell}", f"--model.hidden_size={hidden_size}", *CELLS[cell]),
        *(f"--data.blank_separation_len={blanks}", f"--trainer.max_epochs={options.epochs}"),
        *(f"--seed_everything={seed}", *options.arguments),
    ]
    return trained(options.output, f"{cell}_{blanks}_seed{seed}", arguments)


def row(cell: str, blanks: int, hidden_size: int, runs: list[Run]) -> dict[str, Any]:
    """Make the table's row for a cell and a number of blanks."""
    tests = [run.results["test"] for run in runs]
    return {
        "cell": cell,
        "blanks": blanks,
        "units": hidden_size,
        "parameters": runs[0].results["parameters"],
        "seeds": len(runs),
        **spread(accuracies(runs)),
        "exact recall": f"{mean(test['test/exact_recall'] for test in tests):.3f}",
        "loss": f"{mean(test['test/loss'] for test in tests):.4f}",
        "training, s": training_seconds(runs),
    }
