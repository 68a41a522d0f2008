"""What the figures share: colours that mean the same everywhere, pages to paste on, digits as images."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

# Okabe and Ito's vermilion beside two greys: told apart by all eyes, and what is wrong has a cross as well
INK, WRONG, GIVEN = "#222222", "#d55e00", "#666666"  # prediction, wrong prediction, truth
# for curves side by side: Okabe and Ito's (2008) but for yellow, which is hard to see on white
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#222222", "#e69f00", "#56b4e9")
# a cell looks the same in all of them
CELLS: dict[str, dict[str, Any]] = {
    "lstm": {"color": SERIES[0], "marker": "o"},
    "rnn": {"color": SERIES[1], "marker": "s"},
    "gru": {"color": SERIES[2], "marker": "D"},
    "irnn": {"color": SERIES[3], "marker": "^"},
}
POSITIVE, SIGNED = "viridis", "RdBu_r"  # colour maps; the second is white at 0


# Inches. TensorBoard shrinks pictures into cards of 365 × 215 pixels, at which 9 points are then 10 pixels high
CARD = (4.4, 2.65)
FONT = 9  # points


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches, each of which is 150 pixels in TensorBoard: twice what a card shows."""
    return Figure(figsize=(width, height), dpi=150, facecolor="white")


def new_page(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure and one pair of axes without lines all over it, in inches from the upper left corner.

    For what is pasted together from many images: axes of its own for each would take ten times as long.
    """
    figure = new_figure(width, height)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    return figure, axes


def paste(axes: Axes, image: np.ndarray, left: float, top: float, width: float, height: float, **scale: Any) -> None:
    """An image on a page, at so many inches."""
    axes.imshow(image, extent=(left, left + width, top + height, top), aspect="auto", interpolation="nearest", **scale)


def colour_scale(values: np.ndarray, least: float = 1.0, inside: float = 1.0) -> dict[str, Any]:
    """Colour map and limits for these values: from 0 up, or as far on both sides of 0 where some are negative.

    Args:
        values: What is to be shown; those that are not finite don't count.
        least: The limit is at least so large, so that colours mean the same from epoch to epoch.
        inside: Share of the values that the limits must hold; those beyond get the colour of the limit.
    """
    finite = values[np.isfinite(values)]
    limit = max(least, float(np.quantile(np.abs(finite), inside)) if len(finite) else 0.0)
    signed = bool((finite < 0).any())
    return {"cmap": SIGNED if signed else POSITIVE, "vmin": -limit if signed else 0.0, "vmax": limit}


def labelled(*panels: Axes) -> dict[str, Artist]:
    """What a legend of all these has to name, by label: what comes several times, once."""
    return {label: line for panel in panels for line, label in zip(*panel.get_legend_handles_labels(), strict=True)}


def shown(tensor: Tensor) -> Tensor:
    """Any tensor as one that can be drawn: float32, on the CPU, without gradients."""
    return tensor.detach().float().cpu()


def mean_by_step(values: Tensor, mask: Tensor | None) -> Tensor:
    """Values `(B, T)` -> their mean over the sequences that have the step, `(T,)`; NaN where none has.

    Args:
        values: On the CPU.
        mask: `(B, T)`, True where a step exists; None for all.
    """
    return values.mean(dim=0) if mask is None else values.where(mask.cpu(), torch.nan).nanmean(dim=0)


def black_on_white(image: Tensor) -> np.ndarray:
    """A digit `(Y, X)` in any scale, as grey values from 0, its ink, to 1, its background."""
    pixels = shown(image).numpy()
    return (pixels.max() - pixels) / max(np.ptp(pixels), 1e-9)


def write_signs(axes: Axes, places: Sequence[tuple[float, float]], added: Sequence[bool], size: float) -> None:
    """A plus or a minus at each place on a page, as markers: texts would take ten times as long."""
    for marker, chosen in (("+", True), ("_", False)):
        points = [place for place, plus in zip(places, added, strict=True) if plus == chosen]
        x, y = zip(*points, strict=True) if points else ((), ())
        axes.plot(x, y, linestyle="none", marker=marker, markersize=size, color=INK)


def number(value: float) -> str:
    """A rounded number with a true minus sign; a dash for what is none, as after a training that diverged."""
    return f"{round(value)}".replace("-", "−") if math.isfinite(value) else "–"


def digit(value: float) -> str:
    """A digit; a dash for what is none."""
    return number(value) if 0 <= value <= 9 else "–"


def shorten(path: str, most: int) -> str:
    """A path that fits in so many characters: without its first folders, and at need without the name's middle."""
    while len(path) > most and os.sep in path:
        path = path.partition(os.sep)[2]
    half = (most - 1) // 2
    return path if len(path) <= most else f"{path[: most - 1 - half]}…{path[-half:]}"


def shown_steps(length: int, most: int = 10) -> Sequence[int]:
    """Steps, counted from 1, whose numbers fit below an axis: all, or every so many."""
    return range(1, length + 1, -(-length // most))


def few_ticks() -> MaxNLocator:
    """Ticks for an axis, some five: each takes a millisecond or two to draw."""
    return MaxNLocator(6, steps=[1, 2, 2.5, 5, 10])


def plain(axes: Axes) -> Axes:
    """Without the lines above and on the right, which say nothing, and with numbers that leave room for the rest."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=FONT)
    return axes
