"""Train twelve published networks on MNIST by rows and columns, and compare their accuracies."""

from __future__ import annotations

import argparse
from statistics import mean
from typing import Any, NamedTuple

from seqsum.experiments.files import save, save_table
from seqsum.experiments.runs import Run, accuracies, spread, trained, training_seconds
from seqsum.figures.comparison import plot_comparison
from seqsum.options import a_seed


class SetUp(NamedTuple):
    """One of the published networks: its accuracy, and what differs from `configs/rows.yaml`.

    Attributes:
        published: Published test accuracy, of one run.
        differences: Names of files in `configs/rows/`, in this order.
        hidden_size: Units per layer, `H`.
        num_layers: Number of layers, `L`.
    """

    published: float
    differences: tuple[str, ...]
    hidden_size: int
    num_layers: int = 1

    def arguments(self) -> list[str]:
        """Arguments of `train.py`."""
        files = ["configs/rows.yaml", *(f"configs/rows/{name}.yaml" for name in self.differences)]
        sizes = [f"--model.hidden_size={self.hidden_size}", f"--model.num_layers={self.num_layers}"]
        return [*(f"--config={file}" for file in files), *sizes]


SET_UPS = {
    "rows_rnn_128": SetUp(0.924, (), 128),
    "rows_rnn_64": SetUp(0.777, (), 64),
    "rows_lstm_128": SetUp(0.968, ("lstm",), 128),
    "columns_rnn_128": SetUp(0.940, ("columns",), 128),
    "rows_binary_lstm_32": SetUp(0.9634, ("lstm", "binary"), 32),
    "rows_binary_lstm_64": SetUp(0.9772, ("lstm", "binary"), 64),
    "rows_binary_lstm_128": SetUp(0.9765, ("lstm", "binary"), 128),
    "rows_binary_lstm_3x32": SetUp(0.9709, ("lstm", "binary"), 32, num_layers=3),
    "rows_binary_gru_32": SetUp(0.9696, ("gru", "binary"), 32),
    "rows_binary_gru_64": SetUp(0.9781, ("gru", "binary"), 64),
    "rows_binary_gru_128": SetUp(0.9837, ("gru", "binary"), 128),
    "rows_binary_gru_3x32": SetUp(0.9766, ("gru", "binary"), 32, num_layers=3),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this experiment."""
    parser.add_argument("--names", nargs="+", choices=SET_UPS, default=list(SET_UPS), help="configurations to train")
    parser.add_argument("--seeds", nargs="+", action=a_seed(), default=[0, 1, 2])
    parser.add_argument("arguments", nargs="*", help="other flags for train.py, after --, such as --data.root=…")


def run(options: argparse.Namespace) -> None:
    """Train the networks that are not trained yet, seed by seed; print a table, and write table, figure and numbers."""
    runs: dict[str, list[Run]] = {name: [] for name in options.names}
    for seed in options.seeds:  # all networks with one seed first, so that an interruption leaves complete seeds
        for name in options.names:
            runs[name].append(train(name, seed, options))
    rows = [row(name, found) for name, found in runs.items()]
    save_table("MNIST by rows and columns", "rows", rows, options)
    reached = {name: accuracies(found) for name, found in runs.items()}
    published = {name: SET_UPS[name].published for name in runs}
    save(plot_comparison(reached, published, "test accuracy, %"), options.output / "rows.png")


def train(name: str, seed: int, options: argparse.Namespace, *more: str) -> Run:
    """Train one network with one seed, unless it is trained already; `more` changes its name and settings."""
    label = "_".join([name, *(argument.rpartition("=")[2] for argument in more), f"seed{seed}"])
    arguments = [*SET_UPS[name].arguments(), *more, f"--seed_everything={seed}", *options.arguments]
    return trained(options.output, label, arguments)


def row(name: str, runs: list[Run]) -> dict[str, Any]:
    """Make the table's row for a network."""
    results = [run.results for run in runs]
    return {
        "configuration": name,
        "dataset": results[0]["dataset"],
        "parameters": results[0]["parameters"],
        "seeds": len(runs),
        **spread(accuracies(runs)),
        "published": f"{SET_UPS[name].published}",
        "test loss": f"{mean(result['test']['test/loss'] for result in results):.4f}",
        "training, s": training_seconds(runs),
    }
