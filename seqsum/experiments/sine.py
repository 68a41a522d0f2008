"""How far networks of equal size go on with a sine curve by themselves, and how soon they go astray."""

from __future__ import annotations

import argparse
import math
from functools import partial
from typing import Any

import torch
from torch import Tensor

from seqsum.benchmarks.timing import show, write
from seqsum.data.sine_curves import SineCurves, draw_curves
from seqsum.errors import InputError
from seqsum.experiments.files import save, settings_of, write_markdown
from seqsum.experiments.runs import Run, trained
from seqsum.figures.continuations import plot_continuations, plot_drift
from seqsum.inspect.restore import load
from seqsum.module import SequenceModule, parts_of
from seqsum.networks import Flatten, SequenceNetwork
from seqsum.networks.budget import largest_size
from seqsum.networks.free_run import free_run
from seqsum.objectives import NextSample
from seqsum.objectives.next_sample_shown import GIVEN, spread_curves

CELLS = ("rnn", "lstm", "gru", "irnn")
SHOWN_STEPS = (1, 10, 30, 100, 300)
CURVES = 1_000  # that the error is the mean of
TYPICAL = math.sqrt(0.5)  # root mean squared error of always saying 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this experiment."""
    parser.add_argument("--config", default="configs/sine.yaml", help="of all trainings")
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=["rnn", "lstm"])
    parser.add_argument("--budget", type=int, default=5_067, help="parameters of each network, at most")
    parser.add_argument("--steps", type=int, default=300, help="to go on by")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="the first one's curves are drawn")
    parser.add_argument("arguments", nargs="*", help="others of train.py, after --")


def run(options: argparse.Namespace) -> None:
    """Train what is not yet trained, let all go on by themselves; print a table, write it, figures and numbers."""
    if options.steps < 1:
        raise InputError(f"`--steps` (={options.steps}) must be at least 1")
    runs = {(cell, seed): train(cell, seed, options) for seed in options.seeds for cell in options.cells}
    restored = {key: load(str(run.checkpoint)) for key, run in runs.items()}
    periods = next(data.periods for _, data, _ in restored.values() if isinstance(data, SineCurves))
    errors = {key: drift(parts_of(module), periods, options.steps) for key, (module, _, _) in restored.items()}
    rows = [row(*key, runs[key], errors[key]) for key in sorted(runs)]
    show(f"root mean squared error of {CURVES:,} curves after {GIVEN} given samples", rows)
    write_markdown(options.output / "sine.md", rows)
    numbers = [found | {"error": errors[found["cell"], found["seed"]].tolist()} for found in rows]
    write(options.output / "sine.json", torch.device("cpu"), settings_of(options), numbers)
    networks = {cell: parts_of(restored[cell, options.seeds[0]][0]) for cell in options.cells}
    save(draw(networks, periods, min(options.steps, 100)), options.output / "sine_curves.png")
    of_cells = {cell: torch.stack([errors[cell, seed] for seed in options.seeds]) for cell in options.cells}
    save(plot_drift(of_cells, typical=TYPICAL), options.output / "sine_error.png")


def train(cell: str, seed: int, options: argparse.Namespace) -> Run:
    """Train one network with one seed, unless that is done already."""
    size = largest_size(partial(build, cell), options.budget)
    arguments = ["-c", options.config, f"--model.cell={cell}", f"--model.hidden_size={size}"]
    if cell != "lstm":
        arguments.append("--model.output_activation=null")
    arguments += [f"--seed_everything={seed}", *options.arguments]
    return trained(options.output, f"{cell}_seed{seed}", arguments)


def build(cell: str, hidden_size: int) -> SequenceModule:
    """The network without any numbers in it, to be counted."""
    with torch.device("meta"):
        return SequenceModule(cell=cell, hidden_size=hidden_size, encoder=Flatten(1), objective=NextSample())


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


def row(cell: str, seed: int, run: Run, errors: Tensor) -> dict[str, Any]:
    """What the table says of a training."""
    worse = (errors > TYPICAL).nonzero()
    return {
        "cell": cell,
        "seed": seed,
        "parameters": run.results["parameters"],
        "next sample": round(math.sqrt(run.results["test"]["test/mse"]), 4),
        **{f"{step} on": round(float(errors[step - 1]), 4) for step in SHOWN_STEPS if step <= len(errors)},
        "worse than 0 from": int(worse[0]) + 1 if len(worse) > 0 else None,
        "training, s": round(run.results["seconds"]["fit"]),
    }
