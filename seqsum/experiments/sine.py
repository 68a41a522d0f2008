"""How far networks of equal size go on with a sine curve by themselves, and how soon they go astray."""

from __future__ import annotations

import argparse
import math
from functools import partial
from typing import Any

import torch
from torch import Tensor

from seqsum.benchmarks.timing import show, write
from seqsum.callbacks.curves import GIVEN, spread_curves
from seqsum.data.sine_curves import SineCurves, draw_curves
from seqsum.errors import InputError
from seqsum.experiments.files import save, settings_of
from seqsum.experiments.runs import Run, trained
from seqsum.figures.curves import plot_continuations, plot_drift
from seqsum.inspect.restore import restore_any
from seqsum.module import SequenceModule
from seqsum.networks import Flatten, SequenceNetwork
from seqsum.networks.budget import largest_size
from seqsum.networks.free_run import free_run
from seqsum.objectives import NextSample

CELLS = ("rnn", "lstm", "gru", "irnn")
SHOWN_STEPS = (1, 10, 30, 100, 300)
CURVES = 1_000  # that the error is the mean of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this experiment."""
    parser.add_argument("--config", default="configs/sine.yaml", help="of all trainings")
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=["rnn", "lstm"])
    parser.add_argument("--budget", type=int, default=5_067, help="parameters of each network, at most")
    parser.add_argument("--steps", type=int, default=300, help="to go on by")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("arguments", nargs="*", help="others of train.py, after --")


def run(options: argparse.Namespace) -> None:
    """Train all cells, let them go on by themselves, print a table, and write figures and numbers."""
    if options.steps < 1:
        raise InputError(f"`--steps` (={options.steps}) must be at least 1")
    runs = {cell: train(cell, options) for cell in options.cells}
    restored = {cell: restore_any(str(run.checkpoint)) for cell, run in runs.items()}
    networks = {cell: module.network for cell, (module, _, _) in restored.items()}
    periods = next(data.periods for _, data, _ in restored.values() if isinstance(data, SineCurves))
    errors = {cell: drift(network, periods, options.steps) for cell, network in networks.items()}
    rows = [row(cell, run, errors[cell]) for cell, run in runs.items()]
    show(f"root mean squared error of {CURVES:,} curves after {GIVEN} given samples", rows)
    numbers = [found | {"error": errors[found["cell"]].tolist()} for found in rows]
    write(options.output / "sine.json", torch.device("cpu"), settings_of(options), numbers)
    shown = draw(networks, periods, min(options.steps, 100))
    save(shown, options.output / "sine_curves.png")
    save(plot_drift(errors, typical=math.sqrt(0.5)), options.output / "sine_error.png")


def train(cell: str, options: argparse.Namespace) -> Run:
    """Train one network, unless that is done already."""
    size = largest_size(partial(build, cell), options.budget)
    arguments = ["-c", options.config, f"--model.cell={cell}", f"--model.hidden_size={size}"]
    if cell != "lstm":
        arguments.append("--model.output_activation=null")
    return trained(options.output, cell, [*arguments, f"--seed_everything={options.seed}", *options.arguments])


def build(cell: str, hidden_size: int) -> SequenceModule:
    """The network without any numbers in it, to be counted."""
    with torch.device("meta"):
        return SequenceModule(cell, hidden_size, encoder=Flatten(1), objective=NextSample())


@torch.no_grad()
def drift(network: SequenceNetwork, periods: tuple[float, float], steps: int) -> Tensor:
    """Root mean squared error after 1, 2, … steps of going on alone, `(steps,)`, over the same curves always."""
    curves = draw_curves(CURVES, GIVEN + steps, periods, torch.Generator().manual_seed(2))
    samples = free_run(network, curves[:, :GIVEN, None], steps)
    return (samples - curves[:, GIVEN:]).square().mean(0).sqrt()


@torch.no_grad()
def draw(networks: dict[str, SequenceNetwork], periods: tuple[float, float], steps: int) -> Any:
    """Curves of several frequencies as all networks continue them."""
    lengths, curves = spread_curves(periods, GIVEN + steps)
    continued = {cell: free_run(network, curves[:, :GIVEN, None], steps) for cell, network in networks.items()}
    return plot_continuations(
        curves[:, :GIVEN], continued, [f"period {length:.1f} steps" for length in lengths], curves
    )


def row(cell: str, run: Run, errors: Tensor) -> dict[str, Any]:
    """What the table says of a training."""
    return {
        "cell": cell,
        "parameters": run.results["parameters"],
        "next sample": math.sqrt(run.results["test"]["test/mse"]),
        **{f"{step} steps on": float(errors[step - 1]) for step in SHOWN_STEPS if step <= len(errors)},
        "training, s": run.results["seconds"]["fit"],
    }
