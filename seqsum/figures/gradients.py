"""Gradients backpropagated through time, before and after clipping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from seqsum.figures.style import INK, SERIES, common_style, new_figure, plain

MARKERS = "osD^vPX"
SHOWN = (1e-12, 1e10)  # smaller and larger gradients are useless


class GradientCurve(Protocol):
    """Mean absolute gradients, see `seqsum.experiments.gradients.Curve`."""

    @property
    def by_distance(self) -> Sequence[float]: ...
    @property
    def by_distance_clipped(self) -> Sequence[float]: ...
    @property
    def lengths(self) -> Sequence[int]: ...
    @property
    def by_length(self) -> Sequence[float]: ...
    @property
    def by_length_clipped(self) -> Sequence[float]: ...


@common_style
def plot_gradients(curves: Mapping[str, Mapping[str, GradientCurve]], threshold: float) -> Figure:
    """Draw a column for each cell: gradients against distance in time above, against sequence length below.

    Args:
        curves: Curves by cell, then by initialisation of its weights.
        threshold: Threshold of the clipping; curves of clipped gradients are dashed.
    """
    figure = new_figure(4.0 * len(curves), 7.6)
    axes = figure.subplots(2, len(curves), sharex="row", sharey="row", squeeze=False)
    names = list(dict.fromkeys(name for kinds in curves.values() for name in kinds))
    looks: dict[str, dict[str, Any]] = {
        name: {"color": SERIES[k], "marker": MARKERS[k], "markersize": 4} for k, name in enumerate(names)
    }
    for (cell, kinds), above, below in zip(curves.items(), *axes, strict=True):
        for name, curve in kinds.items():
            _draw(above, range(len(curve.by_distance)), curve.by_distance, curve.by_distance_clipped, looks[name])
            _draw(below, curve.lengths, curve.by_length, curve.by_length_clipped, looks[name])
        plain(above).set(title=cell, yscale="log", ylim=SHOWN, xlabel="distance in time, steps before the loss")
        plain(below).set(yscale="log", xlabel="length of the sequence, steps")
        above.legend(handles=[Line2D([], [], label=name, **looks[name]) for name in kinds], frameon=False, fontsize=9)
    axes[0, 0].set_ylabel("mean |gradient| of the state")
    axes[1, 0].set_ylabel("mean |gradient| of the recurrent weights")
    styles = {"-": "as it is", "--": f"clipped to a global norm of {threshold:g}, where that changes it"}
    lines = [Line2D([], [], color=INK, ls=style, label=label) for style, label in styles.items()]
    figure.legend(handles=lines, loc="lower center", ncols=2, frameon=False)
    figure.tight_layout(rect=(0, 0.04, 1, 1))
    return figure


def _draw(axes: Axes, x: Sequence[int], raw: Sequence[float], clipped: Sequence[float], look: dict[str, Any]) -> None:
    axes.plot(x, raw, markevery=max(1, len(x) // 8), **look)
    if list(raw) != list(clipped):
        axes.plot(x, clipped, color=look["color"], linestyle="--")
