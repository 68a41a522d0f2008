"""Pictures of what a network does, as pure functions `plot_…(tensors) -> Figure`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from seqsum.data.sums import Operation, signs

INK, WRONG, GIVEN = "#222222", "#c0392b", "#666666"  # prediction, wrong prediction, truth


def plot_sums(
    images: Sequence[Tensor],
    predictions: Sequence[Tensor],
    operation: Operation,
    targets: Sequence[Tensor] | None = None,
) -> Figure:
    """Digits in a row, each with its sign and, below, the running sum that the network predicts.

    Args:
        images: Grey digits `(T, 28, 28)` of each sequence; the sequences may differ in length.
        predictions: Rounded running sums `(T,)` of each sequence.
        operation: What the signs are.
        targets: True running sums `(T,)` of each sequence. Where they are given they stand below the
            predictions, and wrong predictions are marked, by a cross as well as by colour.
    """
    rows, columns = len(images), max(len(digits) for digits in images)
    width, height = 0.3 + 1.1 * columns, 0.35 + 1.35 * rows  # inches
    figure = Figure(figsize=(width, height))
    grid = figure.subplots(rows, columns, squeeze=False)
    figure.subplots_adjust(
        left=0.35 / width, right=1 - 0.05 / width, top=1 - 0.05 / height, bottom=0.75 / height, wspace=0.35, hspace=0.6
    )
    for row, column in itertools.product(range(rows), range(columns)):
        axes = grid[row, column]
        axes.set_axis_off()
        if column < len(images[row]):
            axes.imshow(images[row][column].numpy(force=True), cmap="gray_r")
            sign = "+" if signs(column + 1, operation)[-1] > 0 else "−"
            axes.text(-0.06, 0.5, sign, transform=axes.transAxes, ha="right", va="center", fontsize=14, color=INK)
            _label(axes, int(predictions[row][column]), None if targets is None else int(targets[row][column]))
    legend = "running sum" if targets is None else "running sum: predicted (bold, ✗ where wrong), true (grey)"
    figure.text(0.5, 0.08 / height, legend, ha="center", va="bottom", fontsize=8, color=INK)
    return figure


def _label(axes: Axes, prediction: int, truth: int | None) -> None:
    """The predicted sum below a digit, and the true one below that."""
    wrong = truth is not None and prediction != truth
    below: dict[str, Any] = {"transform": axes.transAxes, "ha": "center", "va": "top"}
    text = f"{'✗ ' if wrong else ''}{prediction}".replace("-", "−")
    axes.text(0.5, -0.05, text, fontsize=12, fontweight="bold", color=WRONG if wrong else INK, **below)
    if truth is not None:
        axes.text(0.5, -0.32, f"{truth}".replace("-", "−"), fontsize=9, color=GIVEN, **below)
