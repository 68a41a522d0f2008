"""Figures of curves that the network continues from its own predictions."""

from __future__ import annotations

import csv
import io

import torch
from matplotlib.figure import Figure
from torch import Tensor

from seqsum.data import SineCurves
from seqsum.data.sine_curves import sine
from seqsum.figures.continuations import plot_continuations
from seqsum.networks.free_run import free_run
from seqsum.networks.windows import Stateful
from seqsum.objectives import captions
from seqsum.objectives.evaluation import Evaluation, Prediction, Shown

GIVEN = 30  # samples of a test curve that the network reads


@torch.no_grad()
def draw_continuations(evaluation: Evaluation, horizon: int) -> dict[str, Figure]:
    """Draw how the network continues curves of several frequencies after their first samples."""
    data, network = evaluation.data, evaluation.network
    if not (isinstance(data, SineCurves) and isinstance(network, Stateful)):
        return {}
    periods, curves = spread_curves(data.periods, GIVEN + horizon)
    samples = free_run(network, curves[:, :GIVEN, None].to(evaluation.first.inputs), horizon).cpu()
    titles = [f"period {period:.1f} steps" for period in periods]
    figure = plot_continuations(curves[:, :GIVEN], {"network": samples}, titles, truth=curves)
    return {"test_continuations" if evaluation.split == "test" else "continuations": figure}


def show_continuations(prediction: Prediction) -> Shown:
    """Show a user's curve and its continuation, also as CSV."""
    lines, figures, files = [], {}, {}
    for batch, answers in zip(prediction.batches, prediction.answers, strict=True):
        given, samples = batch.inputs[0, :, 0].cpu(), answers[0].cpu()
        lines.append(f"Continued {len(given)} samples by {len(samples)}.")
        if (largest := float(given.abs().max())) > 1:
            lines.append(f"The curve goes up to {largest:g}, those of the training only up to 1: don't expect much.")
        figures["continuation"] = plot_continuations(given[None], {"network": samples[None]}, [""])
        files["continuation.csv"] = as_csv(samples, first=len(given) + 1)
    page = captions.sections(figures)
    return Shown(lines=lines, figures=figures, files=files, page=page)


def spread_curves(periods: tuple[float, float], steps: int, count: int = 4) -> tuple[list[float], Tensor]:
    """Make curves at evenly spaced frequencies, from the shortest period to the longest.

    Returns:
        The periods, and the curves `(count, steps)`.
    """
    frequencies = torch.linspace(1 / periods[0], 1 / periods[1], count)
    return (1 / frequencies).tolist(), sine(frequencies, torch.linspace(0, 0.75, count), steps)


def as_csv(samples: Tensor, first: int) -> str:
    """Write samples `(T,)` as CSV with a heading and their steps, which start at `first`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["step", "sample"])
    writer.writerows([first + step, f"{value:.6g}"] for step, value in enumerate(samples.tolist()))
    return text.getvalue()
