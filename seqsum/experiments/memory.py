"""How well networks of equal size copy symbols, against the number of blanks that they have to wait."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import torch

from seqsum.benchmarks.timing import show, write
from seqsum.experiments.files import save, settings_of
from seqsum.experiments.runs import Run, trained
from seqsum.figures.memory import plot_memory
from seqsum.module import SequenceModule
from seqsum.networks import Flatten
from seqsum.networks.budget import largest_size
from seqsum.objectives import Recall

SYMBOLS = 9
# beside the settings of the configuration; without a gate that keeps the state, its learning rate is too large
CELLS = {
    "rnn": ["--model.forget_bias=null", "--model.learning_rate=0.001"],
    "irnn": ["--model.forget_bias=null", "--model.learning_rate=0.001"],
    "gru": [],
    "lstm": [],
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this experiment."""
    parser.add_argument("--config", default="configs/memory_blanks.yaml", help="of all trainings")
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS))
    parser.add_argument("--blanks", nargs="+", type=int, default=[0, 10, 20, 40], help="between symbols and delimiter")
    parser.add_argument("--budget", type=int, default=46_210, help="parameters of each network, at most")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("arguments", nargs="*", help="others of train.py, after --")


def run(options: argparse.Namespace) -> None:
    """Train all cells on all lengths, print a table, and write figure and numbers."""
    sizes = {cell: largest_size(partial(build, cell), options.budget) for cell in options.cells}
    rows = [
        row(cell, blanks, sizes[cell], train(cell, blanks, sizes[cell], options))
        for blanks in options.blanks
        for cell in options.cells
    ]
    show("copy memory", rows)
    write(options.output / "memory.json", torch.device("cpu"), settings_of(options), rows)
    accuracies = {cell: [found["accuracy"] for found in rows if found["cell"] == cell] for cell in options.cells}
    save(plot_memory(options.blanks, accuracies, chance=1 / SYMBOLS), options.output / "memory.png")


def build(cell: str, hidden_size: int) -> SequenceModule:
    """The network without any numbers in it, to be counted."""
    with torch.device("meta"):
        return SequenceModule(cell, hidden_size, encoder=Flatten(SYMBOLS + 2), objective=Recall(SYMBOLS))


def train(cell: str, blanks: int, hidden_size: int, options: argparse.Namespace) -> Run:
    """Train one network, unless that is done already."""
    arguments = [
        *("-c", options.config, f"--model.cell={cell}", f"--model.hidden_size={hidden_size}", *CELLS[cell]),
        *(f"--data.blank_separation_len={blanks}", f"--trainer.max_epochs={options.epochs}"),
        *(f"--seed_everything={options.seed}", *options.arguments),
    ]
    return trained(options.output, f"{cell}_{blanks}", arguments)


def row(cell: str, blanks: int, hidden_size: int, run: Run) -> dict[str, Any]:
    """What the table says of a training."""
    test = run.results["test"]
    return {
        "cell": cell,
        "blanks": blanks,
        "units": hidden_size,
        "parameters": run.results["parameters"],
        "accuracy": round(test["test/accuracy"], 4),
        "exact recall": round(test["test/exact_recall"], 4),
        "loss": test["test/loss"],
        "training, s": run.results["seconds"]["fit"],
    }
