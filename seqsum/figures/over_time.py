"""Gates, states and outputs of a layer while it reads an image, aligned with the image's rows or columns."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure
from torch import Tensor

from seqsum.figures.decisions import Steps, draw, number_steps
from seqsum.figures.style import black_on_white, colour_scale, common_style, new_figure, short, shown

SIDE, ACROSS = 2.0, 1.25  # inches, sides of a panel: along time, and across the units


@common_style
def plot_over_time(
    image: Tensor, parts: Mapping[str, Tensor], steps: Steps = "rows", chances: Tensor | None = None
) -> Figure:
    """Draw an image and heat maps of units over its steps, with time along the rows or columns as they are read.

    Units are sorted by their hidden state after the last step, if `parts` has it.

    Args:
        image: Pixels `(Y, X)`, light on dark.
        parts: Values of each unit at each step, `(T, U)`, by name; each part has its own colour bar.
        steps: Whether steps are rows, from the top, or columns, from the left.
        chances: Probabilities of the classes after each step, `(T, K)`, drawn before the parts.
    """
    parts = _in_order({name: shown(values) for name, values in parts.items()})
    panels = [(name.replace("_", " "), values, "units") for name, values in parts.items()]
    if chances is not None:
        panels.insert(0, ("class probabilities", shown(chances), "classes"))
    by_rows = steps == "rows"
    along, pitch = SIDE + (0.95 if by_rows else 0.75), ACROSS + (0.16 if by_rows else 0.32)
    across = SIDE + 0.65 + pitch * len(panels) + (0.05 if by_rows else 0.3)
    width, height = (across, along) if by_rows else (along + 0.75, across)
    figure = new_figure(width, height)

    def box(start: float, size: float) -> tuple[float, float, float, float]:
        """Place axes at `start` inches across the time axis: from the left for rows, from the top for columns."""
        if by_rows:
            return (start / width, 0.65 / height, size / width, SIDE / height)
        return (0.6 / width, 1 - (start + size) / height, SIDE / width, size / height)

    start = 0.45 if by_rows else 0.3
    axes = figure.add_axes(box(start, SIDE), title="image")
    draw(axes, black_on_white(image), cmap="gray", vmin=0, vmax=1)
    number_steps(axes, image.shape[0 if by_rows else 1], steps)
    start += SIDE + (0.16 if by_rows else 0.55)
    for title, values, counted in panels:
        columns = values.numpy()  # (T, U)
        axes = figure.add_axes(box(start, ACROSS), title=title)
        drawn = draw(axes, columns if by_rows else columns.T, **colour_scale(columns))
        (axes.xaxis if by_rows else axes.yaxis).set_label_text(f"{columns.shape[1]} {counted}", fontsize=8)
        if by_rows:
            bar = figure.add_axes((start / width, 0.3 / height, ACROSS / width, 0.07 / height))
        else:
            bar = figure.add_axes(((0.6 + SIDE + 0.1) / width, axes.get_position().y0, 0.07 / width, ACROSS / height))
        legend = figure.colorbar(drawn, cax=bar, orientation="horizontal" if by_rows else "vertical")
        low, high = drawn.get_clim()
        legend.set_ticks([low, high], labels=[short(low), short(high)])
        legend.ax.tick_params(labelsize=8, length=2, pad=1)
        if by_rows:  # clear of the next bar's labels
            first, last = legend.ax.get_xticklabels()
            first.set_horizontalalignment("left")
            last.set_horizontalalignment("right")
        start += pitch
    for axes in figure.axes:
        axes.title.set_fontsize(9)
    return figure


def _in_order(parts: dict[str, Tensor]) -> dict[str, Tensor]:
    """Sort the units of all parts `(T, U)` that have as many units as the hidden state."""
    if "hidden" not in parts:
        return parts
    order = parts["hidden"][-1].argsort(descending=True, stable=True)
    return {name: values[:, order] if values.shape[1] == len(order) else values for name, values in parts.items()}
