"""Measure how long networks of equal size can continue a sine curve on their own predictions."""

from __future__ import annotations

import argparse
import math
from functools import partial
from typing import Any

import torch
from torch import Tensor

from seqsum.data.sine_curves import SineCurves, draw_curves
from seqsum.experiments.files import save, save_table
from seqsum.experiments.runs import Run, trained, training_seconds
from seqsum.figures.continuations import plot_continuations, plot_drift
from seqsum.inspect.restore import load
from seqsum.module import SequenceModule, parts_of
from seqsum.networks import Flatten, SequenceNetwork
from seqsum.networks.budget import largest_size
from seqsum.networks.free_run import free_run
from seqsum.objectives import NextSample
from seqsum.objectives.next_sample_shown import GIVEN, spread_curves
from seqsum.options import a_seed, at_least

CELLS = ("rnn", "lstm", "gru", "irnn")
SHOWN_STEPS = (1, 10, 30, 100, 300)
CURVES = 1_000  # curves to average the error over
TYPICAL = math.sqrt(0.5)  # root mean squared error of always predicting 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this experiment."""
    parser.add_argument("--config", default="configs/sine.yaml", help="configuration of all trainings")
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=["rnn", "lstm"])
    parser.add_argument("--budget", action=at_least(1), default=5_067, help="largest number of parameters of a network")
    parser.add_argument("--steps", action=at_least(1), default=300, help="steps to continue")
    parser.add_argument(
        "--seeds", nargs="+", action=a_seed(), default=[0, 1, 2], help="curves are drawn for the first seed"
    )
    parser.add_argument("arguments", nargs="*", help="other flags for train.py, after --")


def run(options: argparse.Namespace) -> None:
    """Train all networks that are not trained yet, and let them continue curves; print a table, write all results."""
    sizes = {cell: largest_size(partial(build, cell), options.budget) for cell in options.cells}
    runs = {(cell, seed): train(cell, sizes[cell], seed, options) for seed in options.seeds for cell in options.cells}
    restored = {key: load(str(run.checkpoint)) for key, run in runs.items()}
    periods = next(data.periods for _, data, _ in restored.values() if isinstance(data, SineCurves))
    errors = {key: drift(parts_of(module), periods, options.steps) for key, (module, _, _) in restored.items()}
    rows = [row(*key, runs[key], errors[key]) for key in sorted(runs)]
    numbers = [found | {"error": errors[found["cell"], found["seed"]].tolist()} for found in rows]
    save_table(
        f"root mean squared error of {CURVES:,} curves after {GIVEN} given samples", "sine", rows, options, numbers
    )
    networks = {cell: parts_of(restored[cell, options.seeds[0]][0]) for cell in options.cells}
    save(draw(networks, periods, min(options.steps, 100)), options.output / "sine_curves.png")
    of_cells = {cell: torch.stack([errors[cell, seed] for seed in options.seeds]) for cell in options.cells}
    save(plot_drift(of_cells, typical=TYPICAL), options.output / "sine_error.png")


def train(cell: str, size: int, seed: int, options: argparse.Namespace) -> Run:
    """Train one network with one seed, unless it is trained already."""
    arguments = ["-c", options.config, f"--model.cell={cell}", f"--model.hidden_size={size}"]
    if cell != "lstm":
        arguments.append("--model.output_activation=null")
    arguments += [f"--seed_everything={seed}", *options.arguments]
    return trained(options.output, f"{cell}_seed{seed}", arguments)


def build(cell: str, hidden_size: int) -> SequenceModule:
    """Build the network on the meta device, to count its parameters."""
    with torch.device("meta"):
        return SequenceModule(cell=cell, hidden_size=hidden_size, encoder=Flatten(1), objective=NextSample())


@torch.no_grad()
def drift(network: SequenceNetwork, periods: tuple[float, float], steps: int) -> Tensor:
    """Root mean squared error after 1, 2, … steps on its own predictions, `(steps,)`, always over the same curves."""
    curves = draw_curves(CURVES, GIVEN + steps, periods, torch.Generator().manual_seed(2))
    samples = free_run(network, curves[:, :GIVEN, None], steps)
    return (samples - curves[:, GIVEN:]).square().mean(0).sqrt()


@torch.no_grad()
def draw(networks: dict[str, SequenceNetwork], periods: tuple[float, float], steps: int) -> Any:
    """Plot how all networks continue curves of several frequencies."""
    lengths, curves = spread_curves(periods, GIVEN + steps)
    continued = {cell: free_run(network, curves[:, :GIVEN, None], steps) for cell, network in networks.items()}
    return plot_continuations(
        curves[:, :GIVEN], continued, [f"period {length:.1f} steps" for length in lengths], curves
    )


def row(cell: str, seed: int, run: Run, errors: Tensor) -> dict[str, Any]:
    """Make the table's row for a training."""
    worse = (errors > TYPICAL).nonzero()
    return {
        "cell": cell,
        "seed": seed,
        "parameters": run.results["parameters"],
        "next sample": round(math.sqrt(run.results["test"]["test/mse"]), 4),
        **{f"{step} on": round(float(errors[step - 1]), 4) for step in SHOWN_STEPS if step <= len(errors)},
        "worse than 0 from": int(worse[0]) + 1 if len(worse) > 0 else None,
        "training, s": training_seconds([run]),
    }
