"""Errors of networks with one hidden layer, by size, activation and start of the layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from seqsum.figures.style import SERIES, labelled, new_figure, plain

MARKERS = "osD^v"
TICKS = (1, 2, 5, 10, 20, 50, 100)  # percent
LEAST = 0.01  # percent; a logarithmic axis has no 0


def plot_starts(accuracies: Mapping[tuple[str, int, str], Sequence[float]], chance: float) -> Figure:
    """Draw a panel for each activation: test error against hidden size on logarithmic axes, a line for each start.

    Args:
        accuracies: Test accuracies of the runs of each activation, hidden size and start, as shares from 0 to 1. Lines
            go through their means, dots are runs.
        chance: Accuracy of guessing, a dotted line.
    """
    activations, sizes, starts = (list(dict.fromkeys(part)) for part in zip(*accuracies, strict=True))
    figure = new_figure(2.75 * len(activations) + 0.5, 3.3)
    panels = figure.subplots(1, len(activations), sharey=True, squeeze=False)[0]
    for axes, activation in zip(panels, activations, strict=True):
        plain(axes).axhline(100 * (1 - chance), color=SERIES[4], linestyle=":", label="guessing")
        for start, colour, marker in zip(starts, SERIES, MARKERS, strict=False):
            found = {
                size: accuracies[activation, size, start] for size in sizes if (activation, size, start) in accuracies
            }
            style: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 4, "label": start}
            axes.plot(list(found), [_error(sum(values) / len(values)) for values in found.values()], **style)
            runs = [(size, _error(value)) for size, values in found.items() for value in values]
            axes.plot(*zip(*runs, strict=True), linestyle="none", marker=".", markersize=3, color=colour)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.set_yticks(TICKS, [str(tick) for tick in TICKS])
        axes.minorticks_off()
        axes.set(xlabel="hidden units", title=str(activation))
    panels[0].set(ylabel="test error, %")
    lines = labelled(panels[0])
    figure.legend(list(lines.values()), list(lines), loc="upper center", ncols=len(lines), frameon=False, fontsize=9)
    figure.tight_layout(rect=(0, 0, 1, 0.92))
    return figure


def _error(accuracy: float) -> float:
    """Turn an accuracy into an error in percent."""
    return max(100 * (1 - accuracy), LEAST)
