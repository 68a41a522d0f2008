"""Digits of a few sequences with their predicted running sums."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from seqsum.data.sums import Operation, read_digits, signs
from seqsum.figures.letters import drawable, of_users
from seqsum.figures.style import (
    GIVEN,
    INK,
    WRONG,
    black_on_white,
    common_style,
    digit,
    new_page,
    number,
    paste,
    shorten_all,
    write_signs,
)

PER_LINE = 8  # digits per line: several short sequences fit into one; a longer sequence wraps
COLUMN, LINE = 44, 54  # pixels from one digit to the next: 28, and 16 for the sign, 26 for the sums below
WRITTEN = 5.5  # characters of a sum that fit below a digit in full size
NAME = 12  # characters of a file's name that fit below a digit
GAP = 24  # pixels between sequences side by side, and between sequences of several lines
INCH = 84  # pixels of a digit's image per inch


@common_style
def plot_sums(
    images: Sequence[Tensor],
    predictions: Sequence[Tensor],
    operation: Operation,
    targets: Sequence[Tensor] | None = None,
    names: Sequence[Sequence[str]] | None = None,
    longest: int | None = None,
) -> Figure:
    """Draw digits in rows, each with its sign and, below it, the predicted running sum.

    Args:
        images: Grey digits `(T, 28, 28)` of each sequence; the sequences may differ in length.
        predictions: Running sums `(T,)` of each sequence, shown rounded.
        operation: Signs of the steps.
        targets: True running sums `(T,)` of each sequence, if known. They are drawn below the predictions, and
            wrong predictions are marked by a cross and by colour.
        names: File names of the digits, for use without targets. They are drawn below the sums, with the digit
            that the step added or subtracted.
        longest: Steps of the longest sequence, if only the first steps are given.
    """
    places = list(_places([len(digits) for digits in images]))
    wide = max(COLUMN * PER_LINE, *(left + 28 + 6 for _, _, left, _ in places))  # room for the legend and for numbers
    high = max(top for _, _, _, top in places) + LINE - 2
    short = shorten_all([] if names is None else chain.from_iterable(names), NAME)
    digits = np.ones((high, wide))  # one image of all digits, which is faster to draw than many
    is_part = longest is not None and longest > max(map(len, images))
    foot = (14 if names is None else 18) + 12 * is_part  # pixels, height of the legend
    figure, axes = new_page(wide / INCH, (high + foot) / INCH)
    for row, step, left, top in places:
        digits[top : top + 28, left : left + 28] = black_on_white(images[row][step])
        truth = None if targets is None else targets[row][step].item()
        _label(axes, left + 14, top + 28, predictions[row][step].item(), truth)
        if names is not None:
            read = read_digits(predictions[row].round(), operation)[step].item()
            _name(axes, left + 14, top + 40, read, short[names[row][step]])
    added = [bool(signs(step + 1, operation)[-1] > 0) for _, step, _, _ in places]
    write_signs(axes, [((left - 6) / INCH, (top + 14) / INCH) for _, _, left, top in places], added, size=6)
    paste(axes, digits, 0, 0, wide / INCH, high / INCH, cmap="gray", vmin=0, vmax=1)
    legend = "running sum" if targets is None else "running sum: predicted (bold, ✗ where wrong), true (grey)"
    legend = legend if names is None else "running sum (bold), digit read, file"
    if is_part:
        legend = f"first {max(map(len, images))} of {longest:,} digits\n{legend}"
    axes.text(wide / 2 / INCH, (high + foot - 3) / INCH, legend, ha="center", va="bottom", fontsize=8, color=INK)
    return figure


def beside(length: int) -> int:
    """Return how many sequences of a length fit side by side."""
    return max(1, PER_LINE // length)


def _places(lengths: Sequence[int]) -> Iterator[tuple[int, int, int, int]]:
    """Yield each digit's sequence and step, and the place of its upper left pixel."""
    together, first = beside(max(lengths)), 2
    apart = GAP if max(lengths) > PER_LINE else 0  # otherwise each of its lines would look like a sequence
    for row, length in enumerate(lengths):
        left = 16 + (COLUMN * max(lengths) + GAP) * (row % together)
        for step in range(length):
            down, column = divmod(step, PER_LINE)
            yield row, step, left + COLUMN * column, first + LINE * down
        if (row + 1) % together == 0:
            first += LINE * -(-length // PER_LINE) + apart


def _write(axes: Axes, x: float, y: float, text: str, **style: Any) -> None:
    axes.text(x / INCH, y / INCH, text, ha="center", **style)


def _label(axes: Axes, x: float, y: float, prediction: float, truth: float | None) -> None:
    """Write the predicted sum below a digit, and the true sum below that."""
    wrong = truth is not None and number(prediction) != number(truth)
    text, colour = f"{'✗ ' if wrong else ''}{number(prediction)}", WRONG if wrong else INK
    fit = min(1, WRITTEN / len(text))
    _write(axes, x, y, text, va="top", fontsize=9 * fit, fontweight="bold", color=colour)
    if truth is not None:
        _write(axes, x, y + 12, number(truth), va="top", fontsize=8, color=GIVEN)


def _name(axes: Axes, x: float, y: float, read: float, name: str) -> None:
    """Write what a digit was read as, and its file, in small print below its sum."""
    text = f"read {digit(read)}\n{name}"
    _write(axes, x, y, drawable(text), va="top", fontsize=4.6, linespacing=1.1, color=GIVEN, **of_users())
