"""Accuracy of several set-ups beside what each costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from seqsum.figures.style import GIVEN, INK, SERIES, common_style, few_ticks, new_figure, plain


class Rung(NamedTuple):
    """Results of a set-up.

    Attributes:
        accuracies: Test accuracy of each run, as a share from 0 to 1.
        milliseconds: Of a training step.
        padding: Share of padding among the computed steps of the sequences.
    """

    accuracies: Sequence[float]
    milliseconds: float
    padding: float


@common_style
def plot_ladder(rungs: Mapping[str, Rung]) -> Figure:
    """Draw a row for each set-up: a dot for each run's accuracy and a stroke for their mean, and bars for its costs."""
    height = 0.26 * len(rungs) + 0.75
    figure = new_figure(8.4, height)
    share = {"bottom": 0.55 / height, "top": 1 - 0.1 / height, "left": 0.23, "right": 0.98, "wspace": 0.1}
    panels = figure.subplots(1, 3, sharey=True, gridspec_kw={"width_ratios": (2, 1, 1), **share})
    accuracy, cost, padding = (plain(panel) for panel in panels)
    places = np.arange(len(rungs))
    for place, rung in zip(places, rungs.values(), strict=True):
        values = 100 * np.array(rung.accuracies)
        accuracy.plot(values, np.full(len(values), place), "o", color=INK, markersize=3.5)
        accuracy.plot([values.mean()], [place], "|", color=INK, markersize=13, markeredgewidth=1.5)
    cost.barh(places, [rung.milliseconds for rung in rungs.values()], height=0.6, color=SERIES[0])
    padding.barh(places, [100 * rung.padding for rung in rungs.values()], height=0.6, color=GIVEN)
    accuracy.set_yticks(places, list(rungs), fontsize=9)
    accuracy.set_ylim(len(places) - 0.4, -0.6)
    accuracy.grid(axis="y", color=GIVEN, alpha=0.15)
    labels = ("test accuracy, %", "a step, processor ms", "padding, %")
    for panel, label in zip((accuracy, cost, padding), labels, strict=True):
        panel.set_xlabel(label)
        panel.xaxis.set_major_locator(few_ticks())
    return figure
