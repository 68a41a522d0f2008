"""Common style of all figures: colours with the same meaning everywhere, pages to paste on, digits as images."""

from __future__ import annotations

import math
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, Literal, ParamSpec

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

Arguments = ParamSpec("Arguments")

# matplotlib's own look, and not how files are written
LOOK = r"(axes|figure|font|grid|hatch|image|legend|lines|mathtext|patch|text|xtick|ytick)\.|savefig\.(face|edge)color"
COMMON = {name: value for name, value in mpl.rcParamsDefault.items() if re.match(LOOK, name)}
_one_at_a_time = threading.RLock()  # matplotlib's settings are those of all threads


@contextmanager
def _common() -> Iterator[None]:
    with _one_at_a_time, mpl.rc_context(COMMON):
        yield


# Okabe and Ito's vermilion and two greys, which colour-blind readers can tell apart; mistakes also have a cross
INK, WRONG, GIVEN = "#222222", "#d55e00", "#666666"  # prediction, wrong prediction, truth
# for curves side by side: Okabe and Ito's colours (2008) except yellow, which is hard to see on white
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#222222", "#e69f00", "#56b4e9")
# a cell looks the same in all figures
CELLS: dict[str, dict[str, Any]] = {
    "lstm": {"color": SERIES[0], "marker": "o"},
    "rnn": {"color": SERIES[1], "marker": "s"},
    "gru": {"color": SERIES[2], "marker": "D"},
    "irnn": {"color": SERIES[3], "marker": "^"},
}
POSITIVE, SIGNED = "viridis", "RdBu_r"  # colour maps; the second is white at 0


# inches; TensorBoard shrinks figures to cards of 365 × 215 pixels, where 9 points are then 10 pixels high
CARD = (4.4, 2.65)
FONT = 9  # points
MOST_DOTS = 50  # points of a line that are drawn as dots too


def common_style(plot: Callable[Arguments, Figure]) -> Callable[Arguments, Figure]:
    """Let a function draw as here, whatever style of matplotlib the user has set, such as a dark one."""

    @wraps(plot)
    def draw(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Figure:
        with _common():
            return plot(*args, **kwargs)

    return draw


class _CommonFigure(Figure):
    """Is drawn in the common style too, when matplotlib makes ticks."""

    def draw(self, *args: Any, **kwargs: Any) -> None:
        with _common():
            super().draw(*args, **kwargs)

    def savefig(self, *args: Any, **kwargs: Any) -> None:
        with _common():
            super().savefig(*args, **kwargs)


def new_figure(width: float, height: float, layout: Literal["constrained"] | None = None) -> Figure:
    """Make an empty figure, its size in inches, at 150 pixels per inch: twice the resolution of TensorBoard's cards.

    Where numbers along an axis come from the data, choose the constrained layout: it makes room for long ones.
    """
    return _CommonFigure(figsize=(width, height), dpi=150, facecolor="white", layout=layout)


def new_page(width: float, height: float) -> tuple[Figure, Axes]:
    """Make a figure with one pair of invisible axes that cover it, in inches from the upper left corner.

    Paste many images onto it: separate axes for each would take ten times as long.
    """
    figure = new_figure(width, height)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    return figure, axes


def paste(axes: Axes, image: np.ndarray, left: float, top: float, width: float, height: float, **scale: Any) -> None:
    """Paste an image on a page; place and size are in inches."""
    axes.imshow(image, extent=(left, left + width, top + height, top), aspect="auto", interpolation="nearest", **scale)


def colour_scale(values: np.ndarray, least: float = 1.0, inside: float = 1.0) -> dict[str, Any]:
    """Choose colour map and limits for values: from 0 up, or symmetric around 0 if some are negative.

    Args:
        values: Values to show; non-finite ones are ignored.
        least: Smallest limit, so that colours mean the same from epoch to epoch.
        inside: Share of the values that must lie within the limits; values beyond get the limit's colour.
    """
    finite = values[np.isfinite(values)]
    limit = max(least, float(np.quantile(np.abs(finite), inside)) if len(finite) else 0.0)
    signed = bool((finite < 0).any())
    return {"cmap": SIGNED if signed else POSITIVE, "vmin": -limit if signed else 0.0, "vmax": limit}


def add_legend(place: Figure | Axes, *panels: Axes, **style: Any) -> None:
    """Add a legend with the labels of several panels, each once; in one row, unless the style has `ncols`."""
    lines = {label: line for panel in panels for line, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    style = {"ncols": len(lines), "frameon": False, "fontsize": 9} | style
    place.legend(list(lines.values()), list(lines), **style)


def shown(tensor: Tensor) -> Tensor:
    """Convert a tensor for drawing: float32, on the CPU, detached."""
    return tensor.detach().float().cpu()


def mean_by_step(values: Tensor, mask: Tensor | None) -> Tensor:
    """Average values `(B, T)` over the sequences that have the step, `(T,)`; NaN where none has.

    Args:
        values: Values, on the CPU.
        mask: `(B, T)`, True where a step exists; None for all.
    """
    return values.mean(dim=0) if mask is None else values.where(mask.cpu(), torch.nan).nanmean(dim=0)


def black_on_white(image: Tensor) -> np.ndarray:
    """Invert a digit `(Y, X)` of any scale to grey values from 0, its ink, to 1, its background."""
    pixels = shown(image).numpy()
    return (pixels.max() - pixels) / max(np.ptp(pixels), 1e-9)


def write_signs(axes: Axes, places: Sequence[tuple[float, float]], added: Sequence[bool], size: float) -> None:
    """Draw a plus or a minus at each place on a page, as markers, which are ten times faster than texts."""
    for marker, chosen in (("+", True), ("_", False)):
        points = [place for place, plus in zip(places, added, strict=True) if plus == chosen]
        x, y = zip(*points, strict=True) if points else ((), ())
        axes.plot(x, y, linestyle="none", marker=marker, markersize=size, color=INK)


def number(value: float) -> str:
    """Write a rounded number with a true minus sign; a dash if it is not finite, as after a diverged training."""
    return f"{round(value)}".replace("-", "−") if math.isfinite(value) else "–"


def short(value: float) -> str:
    """Write a number with at most two digits and its power of ten: 0.25, 12, 1.3e2 or −4e6."""
    digits, _, power = f"{value:.2g}".partition("e")
    return (f"{digits}e{int(power)}" if power else digits).replace("-", "−")


def write_chance(chance: float) -> str:
    """Write a probability with three digits, but never as 1 or 0, which none is; a dash if it is no number."""
    if not math.isfinite(chance):
        return "–"
    return f"{chance:.3f}" if 0.0005 <= chance < 0.9995 else ("above 0.999" if chance > 0.5 else "below 0.001")


def digit(value: float) -> str:
    """Write a digit; a dash if the value is no digit."""
    return number(value) if 0 <= value <= 9 else "–"


def shorten(path: str, most: int) -> str:
    """Shorten a path to at most `most` characters: drop its first folders, then the middle of its name."""
    while len(path) > most and os.sep in path:
        path = path.partition(os.sep)[2]
    half = (most - 1) // 2
    return path if len(path) <= most else f"{path[: most - 1 - half]}…{path[-half:]}"


def shorten_all(paths: Iterable[str], most: int) -> dict[str, str]:
    """Shorten paths, by path; where `shorten` would make some alike, keep the part in which they differ."""
    alike: dict[str, list[str]] = {}
    for path in dict.fromkeys(paths):
        alike.setdefault(shorten(path, most), []).append(path)
    shortened = {}
    for text, group in alike.items():
        parts = [re.findall(r"\d+|\D", path) for path in group]  # numbers stay whole
        begin = _agreeing(parts)
        end = _agreeing([of_path[begin:][::-1] for of_path in parts])
        for path, of_path in zip(group, parts, strict=True):
            differing = "".join(of_path[begin:])
            if len(differing) >= most:
                differing = f"{''.join(of_path[begin : len(of_path) - end])}…"
            # nothing is left of one that the others only add something to
            alone = len(group) == 1 or not differing.strip("…")
            shortened[path] = text if alone else shorten(f"…{differing}", most)
    return shortened


def _agreeing(sequences: Sequence[Sequence[str]]) -> int:
    """Count the parts with which all sequences begin."""
    places = enumerate(zip(*sequences, strict=False))
    return next((place for place, parts in places if len(set(parts)) > 1), min(map(len, sequences)))


def shown_steps(length: int, most: int = 10) -> Sequence[int]:
    """Choose evenly spaced steps, counted from 1, to number along an axis; of many, round ones.

    Args:
        length: The number of steps.
        most: How many numbers of two digits fit side by side; of longer ones there are fewer.
    """
    apart = -(-length // (2 * most // max(2, len(str(length)))))
    if apart < 10:
        return range(1, length + 1, apart)
    power = 10 ** (len(str(apart)) - 1)
    apart = next(times * power for times in (1, 2, 5, 10) if times * power >= apart)
    return range(apart, length + 1, apart)


def dots(count: int, size: float, marker: str = "o") -> dict[str, Any]:
    """Style of a line through so many points: with dots, unless they would run into each other."""
    return {"marker": marker, "markersize": size} if count <= MOST_DOTS else {}


def few_ticks() -> MaxNLocator:
    """Make a locator of about five ticks: each takes a millisecond or two to draw."""
    return MaxNLocator(6, steps=[1, 2, 2.5, 5, 10])


def plain(axes: Axes) -> Axes:
    """Remove the lines above and on the right, and use small tick labels."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=FONT)
    return axes
