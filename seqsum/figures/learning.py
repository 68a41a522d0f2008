"""How fast networks learn with and without a mask: training loss and validation accuracy against training steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from seqsum.figures.style import SERIES, add_legend, common_style, new_figure, plain

WINDOW = 9  # logged losses that are averaged: those of single batches scatter


class Learning(NamedTuple):
    """Curves of one training.

    Attributes:
        label: What it shares with the training that differs only by the mask.
        masked: Whether it has a mask.
        losses: Training loss after each of some steps.
        accuracies: Validation accuracy after each of some steps, as a share from 0 to 1.
    """

    label: str
    masked: bool
    losses: Mapping[int, float]
    accuracies: Mapping[int, float]


@common_style
def plot_learning(curves: Sequence[Learning]) -> Figure:
    """Draw each training in the colour of its label, with a dashed line if it has no mask."""
    colours = dict(zip(dict.fromkeys(curve.label for curve in curves), SERIES, strict=False))
    figure = new_figure(8.4, 3.6)
    losses, accuracies = (plain(panel) for panel in figure.subplots(1, 2))
    for curve in curves:
        label = f"{curve.label}, {'mask' if curve.masked else 'no mask'}"
        style: dict[str, Any] = {
            "color": colours[curve.label],
            "linestyle": "-" if curve.masked else "--",
            "label": label,
        }
        losses.plot(smooth([*curve.losses]), smooth([*curve.losses.values()]), **style)
        reached = [100 * value for value in curve.accuracies.values()]
        accuracies.plot([*curve.accuracies], reached, marker="o", markersize=3.5, **style)
    losses.set(xlabel="training step", ylabel="training loss, nats")
    accuracies.set(xlabel="training step", ylabel="validation accuracy, %")
    add_legend(figure, losses, loc="upper center", ncols=len(colours))
    figure.tight_layout(rect=(0, 0, 1, 0.86))
    return figure


def smooth(values: Sequence[float]) -> np.ndarray:
    """Average over a window that moves along; fewer values than it has give their mean."""
    window = min(WINDOW, len(values))
    return np.convolve(values, np.full(window, 1 / window), mode="valid")
