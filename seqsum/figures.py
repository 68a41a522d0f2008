"""Pictures of what a network does, as pure functions `plot_…(tensors) -> Figure`."""

from __future__ import annotations

from collections.abc import Sequence

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
    figure = Figure(figsize=(0.6 + 1.0 * columns, 0.3 + 1.5 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for row in range(rows):
        for column in range(columns):
            axes = grid[row, column]
            axes.set_axis_off()
            if column < len(images[row]):
                sign = "+" if signs(column + 1, operation)[-1] > 0 else "−"
                axes.imshow(images[row][column].numpy(force=True), cmap="gray_r")
                axes.set_title(sign, fontsize=13, color=INK, pad=2)
                truth = None if targets is None else int(targets[row][column])
                _label(axes, int(predictions[row][column]), truth)
    return figure


def _label(axes: Axes, prediction: int, truth: int | None) -> None:
    """The predicted sum below a digit, and the true one below that."""
    wrong = truth is not None and prediction != truth
    text = f"{'✗ ' if wrong else ''}{prediction}".replace("-", "−")
    axes.text(0.5, -0.04, text, transform=axes.transAxes, ha="center", va="top", fontsize=12, fontweight="bold",
              color=WRONG if wrong else INK)  # fmt: skip
    if truth is not None:
        axes.text(0.5, -0.26, f"{truth}".replace("-", "−"), transform=axes.transAxes, ha="center", va="top",
                  fontsize=9, color=GIVEN)  # fmt: skip
