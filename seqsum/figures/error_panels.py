"""Test errors of many trainings, which differ in three things: one by panel, one along the axis, one by line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from matplotlib.figure import Figure

from seqsum.figures.style import SERIES, add_legend, common_style, new_figure, plain

MARKERS = "osD^v"
TICKS = (0.5, 1, 2, 5, 10, 20, 50, 100)  # percent
Place = TypeVar("Place", int, str)
LEAST = 0.01  # percent; a logarithmic axis has no 0


@common_style
def plot_error_panels(
    accuracies: Mapping[tuple[str, Place, str], Sequence[float]], along: str, chance: float | None = None
) -> Figure:
    """Draw a panel for each first key: test error on a logarithmic axis against the second, a line for each third.

    Args:
        accuracies: Test accuracies of the runs by panel, place along the axis, and line, as shares from 0 to 1. Lines
            go through their means, dots are runs.
        along: Name of the axis; places have equal distances, in the order in which they come.
        chance: Accuracy of guessing, a dotted line.
    """
    titles, places, names = (list(dict.fromkeys(part)) for part in zip(*accuracies, strict=True))
    figure = new_figure(2.75 * len(titles) + 0.5, 3.3)
    panels = figure.subplots(1, len(titles), sharey=True, squeeze=False)[0]
    for axes, title in zip(panels, titles, strict=True):
        plain(axes)
        if chance is not None:
            axes.axhline(100 * (1 - chance), color=SERIES[4], linestyle=":", label="guessing")
        for name, colour, marker in zip(names, SERIES, MARKERS, strict=False):
            keys = [(title, place, name) for place in places]
            found = {k: accuracies[key] for k, key in enumerate(keys) if key in accuracies}
            style: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 4, "label": name}
            axes.plot(list(found), [_error(sum(values) / len(values)) for values in found.values()], **style)
            runs = [(place, _error(value)) for place, values in found.items() for value in values]
            axes.plot(*zip(*runs, strict=True), linestyle="none", marker=".", markersize=3, color=colour)
        axes.set_yscale("log")
        axes.set_xticks(range(len(places)), [str(place) for place in places])
        axes.set_yticks(TICKS, [str(tick) for tick in TICKS])
        axes.minorticks_off()
        axes.set(xlabel=along, title=str(title))
    panels[0].set(ylabel="test error, %")
    add_legend(figure, *panels, loc="upper center")
    figure.tight_layout(rect=(0, 0, 1, 0.92))
    return figure


def _error(accuracy: float) -> float:
    """Turn an accuracy into an error in percent."""
    return max(100 * (1 - accuracy), LEAST)
