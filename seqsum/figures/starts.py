"""Accuracy of networks with one hidden layer, by size, activation and start of the layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from seqsum.figures.style import SERIES, few_ticks, labelled, new_figure, plain

MARKERS = "osD^v"


def plot_starts(accuracies: Mapping[tuple[str, int, str], Sequence[float]], chance: float) -> Figure:
    """Draw a panel for each activation: accuracy against hidden size, a line for each start.

    Args:
        accuracies: Test accuracies of the runs of each activation, hidden size and start, as shares from 0 to 1. Lines
            go through their means, dots are runs.
        chance: Accuracy of guessing, a dotted line.
    """
    activations, sizes, starts = (list(dict.fromkeys(part)) for part in zip(*accuracies, strict=True))
    figure = new_figure(2.75 * len(activations) + 0.5, 3.3)
    panels = figure.subplots(1, len(activations), sharey=True, squeeze=False)[0]
    for axes, activation in zip(panels, activations, strict=True):
        plain(axes).axhline(100 * chance, color=SERIES[4], linestyle=":", label="guessing")
        for start, colour, marker in zip(starts, SERIES, MARKERS, strict=False):
            found = {
                size: accuracies[activation, size, start] for size in sizes if (activation, size, start) in accuracies
            }
            style: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 4, "label": start}
            axes.plot(list(found), [100 * sum(values) / len(values) for values in found.values()], **style)
            runs = [(size, 100 * value) for size, values in found.items() for value in values]
            axes.plot(*zip(*runs, strict=True), linestyle="none", marker=".", markersize=3, color=colour)
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
        axes.set(xlabel="hidden units", title=str(activation))
        axes.yaxis.set_major_locator(few_ticks())
    panels[0].set(ylabel="test accuracy, %", ylim=(0, 102))
    lines = labelled(panels[0])
    figure.legend(list(lines.values()), list(lines), loc="upper center", ncols=len(lines), frameon=False, fontsize=9)
    figure.tight_layout(rect=(0, 0, 1, 0.92))
    return figure
