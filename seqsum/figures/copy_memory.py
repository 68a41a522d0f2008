"""Copy memory: accuracy against the number of steps to remember."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean

from matplotlib.figure import Figure

from seqsum.figures.style import CELLS, GIVEN, common_style, new_figure, plain


@common_style
def plot_memory(blanks: Sequence[int], accuracies: Mapping[str, Sequence[Sequence[float]]], chance: float) -> Figure:
    """Draw the accuracy of recalled symbols against the number of blanks before the delimiter, a curve for each cell.

    Args:
        blanks: Numbers of blanks, in ascending order.
        accuracies: By cell, for each number of blanks the accuracies of one or more runs. Drawn are their mean and a
            line from the lowest to the highest.
        chance: Accuracy of guessing, drawn as a dotted line.
    """
    figure = new_figure(5.6, 3.8)
    axes = plain(figure.add_axes((0.12, 0.14, 0.85, 0.75)))
    axes.axhline(100 * chance, color=GIVEN, linestyle=":", label="guessing")
    for cell, runs in accuracies.items():
        means, lows, highs = ([100 * of(values) for values in runs] for of in (mean, min, max))
        axes.plot(blanks, means, label=cell, **CELLS[cell], markersize=5, clip_on=False, zorder=3)
        axes.vlines(blanks, lows, highs, color=CELLS[cell]["color"], alpha=0.5)
    axes.set(xlabel="blanks between symbols and delimiter, steps", ylabel="symbols recalled, %", ylim=(0, 102))
    axes.set_xticks(blanks)
    axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=5, frameon=False, fontsize=9, columnspacing=1)
    return figure
