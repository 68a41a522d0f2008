"""Training steps with and without torch.compile, against the size of the network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from seqsum.figures.style import FONT, SERIES, common_style, new_figure, plain


@common_style
def plot_compiled(rows: Sequence[dict[str, Any]]) -> Figure:
    """Draw milliseconds of a step and seconds of compiling against the number of parameters, all logarithmic.

    Args:
        rows: Rows of the benchmark `compiled`, with `parameters`, `what`, `ms` and `to compile, s`.
    """
    figure = new_figure(8.4, 3.4, layout="constrained")
    steps, compiling = map(plain, figure.subplots(1, 2))
    for place, name in enumerate(dict.fromkeys(row["what"] for row in rows)):
        found = [row for row in rows if row["what"] == name]
        style: dict[str, Any] = {"color": SERIES[place], "marker": "o", "markersize": 4}
        sizes = [row["parameters"] for row in found]
        steps.plot(sizes, [row["ms"] for row in found], label=name, **style)
        if seconds := [row["to compile, s"] for row in found if row["to compile, s"] > 0]:
            compiling.plot(sizes, seconds, **style)
    for axes, title in ((steps, "a training step, ms"), (compiling, "to compile it, s")):
        axes.set(xscale="log", xlabel="parameters")
        axes.set_title(title, fontsize=FONT, loc="left")
    steps.set_yscale("log")
    compiling.set_ylim(bottom=0)
    steps.legend(frameon=False, fontsize=FONT)
    return figure
