"""Results of several runs for each set-up, beside published results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from seqsum.figures.style import GIVEN, INK, WRONG, add_legend, common_style, few_ticks, new_figure, plain


@common_style
def plot_comparison(reached: Mapping[str, Sequence[float]], published: Mapping[str, float], label: str) -> Figure:
    """Draw a row for each set-up: a dot for each run, a stroke for their mean, a cross for the published result.

    Args:
        reached: Results of the runs of each set-up, as shares from 0 to 1.
        published: Published results of some set-ups, as shares.
        label: Label of the axis, in percent.
    """
    figure = new_figure(6.4, 0.26 * len(reached) + 0.95, layout="constrained")
    axes = plain(figure.subplots())
    axes.set_xlabel(label)
    places = {name: place for place, name in enumerate(reached)}
    for name, place in places.items():
        values = 100 * np.array(reached[name])
        axes.plot(values, np.full(len(values), place), "o", color=INK, markersize=3.5, label="run")
        axes.plot([values.mean()], [place], "|", color=INK, markersize=13, markeredgewidth=1.5, label="mean")
    for name, value in published.items():
        axes.plot([100 * value], [places[name]], "x", color=WRONG, markersize=7, markeredgewidth=1.8, label="published")
    axes.set_yticks(np.arange(len(places)), list(places), fontsize=9)
    axes.set_ylim(len(places) - 0.4, -0.6)
    axes.grid(axis="y", color=GIVEN, alpha=0.15)
    axes.xaxis.set_major_locator(few_ticks())
    add_legend(axes, axes, loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=3)
    return figure
