"""Digits of a few sequences with the running sums predicted for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from seqsum.data.sums import Operation, signs
from seqsum.figures.style import GIVEN, INK, WRONG, black_on_white, new_page, number, paste, write_signs

PER_LINE = 8  # digits; a longer sequence goes on below
COLUMN, LINE = 44, 54  # pixels of the digits from one to the next: 16 for the sign, 26 for the sums below
INCH = 40  # pixels of the digits


def plot_sums(
    images: Sequence[Tensor],
    predictions: Sequence[Tensor],
    operation: Operation,
    targets: Sequence[Tensor] | None = None,
) -> Figure:
    """Digits in a row, each with its sign and, below, the running sum that the network predicts.

    Args:
        images: Grey digits `(T, 28, 28)` of each sequence; the sequences may differ in length.
        predictions: Running sums `(T,)` of each sequence, which are shown rounded.
        operation: What the signs are.
        targets: True running sums `(T,)` of each sequence. Where they are given they stand below the
            predictions, and wrong predictions are marked, by a cross as well as by colour.
    """
    lines = list(_lines(images))
    columns = max(len(steps) for _, steps in lines)
    digits = np.ones((LINE * len(lines), COLUMN * columns))  # one image of all: faster to draw than many
    width, height = (COLUMN * max(columns, 4) + 4) / INCH, (LINE * len(lines) + 12) / INCH
    figure, axes = new_page(width, height)
    places: list[tuple[float, float]] = []
    for line, (row, steps) in enumerate(lines):
        for column, step in enumerate(steps):
            left, top = COLUMN * column + 16, LINE * line + 2
            digits[top : top + 28, left : left + 28] = black_on_white(images[row][step])
            places.append(((left - 6) / INCH, (top + 14) / INCH))
            truth = None if targets is None else targets[row][step].item()
            _label(axes, left + 14, top + 29, predictions[row][step].item(), truth)
    added = [bool(sign > 0) for _, steps in lines for sign in signs(steps.stop, operation)[steps.start :]]
    write_signs(axes, places, added, size=8)
    paste(axes, digits, 0, 0, digits.shape[1] / INCH, digits.shape[0] / INCH, cmap="gray", vmin=0, vmax=1)
    legend = "running sum" if targets is None else "running sum: predicted (bold, ✗ where wrong), true (grey)"
    axes.text(width / 2, height - 0.05, legend, ha="center", va="bottom", fontsize=8, color=INK)
    return figure


def _lines(images: Sequence[Tensor]) -> Iterator[tuple[int, range]]:
    """Which steps of which sequence stand on each line."""
    for row, digits in enumerate(images):
        for start in range(0, len(digits), PER_LINE):
            yield row, range(start, min(start + PER_LINE, len(digits)))


def _write(axes: Axes, x: float, y: float, text: str, **style: Any) -> None:
    axes.text(x / INCH, y / INCH, text, ha="center", **style)


def _label(axes: Axes, x: float, y: float, prediction: float, truth: float | None) -> None:
    """The predicted sum below a digit, and the true one below that."""
    wrong = truth is not None and number(prediction) != number(truth)
    text, colour = f"{'✗ ' if wrong else ''}{number(prediction)}", WRONG if wrong else INK
    _write(axes, x, y, text, va="top", fontsize=12, fontweight="bold", color=colour)
    if truth is not None:
        _write(axes, x, y + 11, number(truth), va="top", fontsize=9, color=GIVEN)
