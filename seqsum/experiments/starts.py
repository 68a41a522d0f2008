"""Train one hidden layer with several sizes, activations and starts, zeros included, and compare their accuracies."""

from __future__ import annotations

import argparse
from itertools import product
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor

from seqsum.checkpoint_file import load_checkpoint
from seqsum.experiments.files import save, save_table
from seqsum.experiments.runs import Run, accuracies, spread, trained
from seqsum.figures.error_panels import plot_error_panels
from seqsum.networks.hidden_layers import HiddenActivation
from seqsum.networks.weight_starts import WeightStart
from seqsum.options import a_seed, at_least

SIZES = (16, 64, 256)
EPOCHS = 3
LAYER = "network.encoder.module.layers.0"  # the hidden layer in a checkpoint
HEAD = "network.head.weight"
STARTS = ("he", "glorot", "normal", "zeros")


class SetUp(NamedTuple):
    """Activation, units and start of a hidden layer; its head starts in the same way."""

    activation: str
    size: int
    start: str

    def arguments(self, seed: int) -> list[str]:
        """Arguments of `train.py`."""
        encoder = "--model.network.encoder"
        return [
            "--config=configs/images_mlp.yaml", f"--trainer.max_epochs={EPOCHS}", f"--seed_everything={seed}",
            f"{encoder}.sizes=[{self.size}]", f"{encoder}.activation={self.activation}", f"{encoder}.dropout=0",
            f"{encoder}.start={self.start}", f"--model.network.start={self.start}",
            "--tensorboard.figures_every_n_epochs=0", "--tensorboard.histograms_every_n_epochs=0",
        ]  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this experiment."""
    activations, starts = get_args(HiddenActivation), get_args(WeightStart)
    parser.add_argument("--sizes", nargs="+", action=at_least(1), default=list(SIZES), help="hidden units")
    parser.add_argument("--activations", nargs="+", choices=activations, default=list(activations))
    parser.add_argument("--starts", nargs="+", choices=starts, default=list(STARTS), help="starts of both layers")
    parser.add_argument("--seeds", nargs="+", action=a_seed(), default=[0])
    parser.add_argument("arguments", nargs="*", help="other flags for train.py, after --, such as --data.root=…")


def run(options: argparse.Namespace) -> None:
    """Train what is not trained yet; print a table, and write table, figure and numbers."""
    set_ups = [SetUp(*each) for each in product(options.activations, options.sizes, options.starts)]
    runs: dict[SetUp, list[Run]] = {set_up: [] for set_up in set_ups}
    for seed in options.seeds:  # all networks with one seed first, so that an interruption leaves complete seeds
        for set_up in set_ups:
            name = f"starts_{set_up.activation}_{set_up.size}_{set_up.start}_seed{seed}"
            arguments = [*set_up.arguments(seed), *options.arguments]
            runs[set_up].append(trained(options.output, name, arguments))
    rows = [row(set_up, found) for set_up, found in runs.items()]
    save_table("one hidden layer", "starts", rows, options)
    reached = {(each.activation, each.size, each.start): accuracies(found) for each, found in runs.items()}
    classes = len(weights_of(next(iter(runs.values()))[0])[HEAD])
    save(plot_error_panels(reached, "hidden units", 1 / classes), options.output / "starts.png")


def row(set_up: SetUp, runs: list[Run]) -> dict[str, Any]:
    """Make the table's row for a set-up; what the layer has learned is that of the first run."""
    weights = weights_of(runs[0])
    units = torch.cat([weights[f"{LAYER}.weight"], weights[f"{LAYER}.bias"][:, None]], dim=1)
    return {
        "activation": set_up.activation,
        "units": set_up.size,
        "start": set_up.start,
        "dataset": runs[0].results["dataset"],
        **spread(accuracies(runs)),
        "different units": different(units),
        "largest weight": f"{float(weights[f'{LAYER}.weight'].abs().max()):.3g}",
    }


def different(units: Tensor) -> int:
    """Count the units `(H, F)` that differ by more than rounding: one that equals another adds nothing."""
    limit = 1e-4 * max(float(units.abs().max()), 1e-9)
    equal = torch.cdist(units.double(), units.double(), p=float("inf")) <= limit  # (H, H)
    return int((~equal.tril(diagonal=-1).any(dim=1)).sum())


def weights_of(run: Run) -> dict[str, Tensor]:
    """Read the weights of a run's best checkpoint, by name."""
    return load_checkpoint(str(run.checkpoint))["state_dict"]
