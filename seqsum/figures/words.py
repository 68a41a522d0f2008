"""Words in the plane in which their vectors vary most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from torch import Tensor

from seqsum.figures.letters import drawable, of_users
from seqsum.figures.style import SERIES, add_legend, common_style, new_figure, plain, shown

LABEL = 6.5  # points, of the words
DOT = 3  # pixels, half a dot
AWAY = (2, 7, 12, 17, 22, 27)  # points from a dot to its word


@common_style
def plot_words(vectors: Mapping[str, Tensor], words: Mapping[str, Sequence[str]]) -> Figure:
    """Draw a panel for each model: its words where their vectors fall in the plane of their largest variance.

    Vectors have length 1 before they are projected, so that directions count and not how frequent a word is.

    Args:
        vectors: Vectors `(N, F)` of the words of all kinds, in their order, by the model's name.
        words: Words by kind; each kind has a colour.
    """
    figure = new_figure(5.0 * len(vectors), 4.6)
    panels = figure.subplots(1, len(vectors), squeeze=False)[0]
    labels: list[tuple[Axes, str, tuple[float, float], str]] = []
    for axes, (name, of_model) in zip(panels, vectors.items(), strict=True):
        places, shares = project(of_model)
        rows = iter(places.tolist())
        for number, (kind, named) in enumerate(words.items()):
            colour = SERIES[number % len(SERIES)]
            points = [next(rows) for _ in named]
            axes.plot(*zip(*points, strict=True), linestyle="none", marker=".", color=colour, label=kind)
            labels += [(axes, word, (x, y), colour) for word, (x, y) in zip(named, points, strict=True)]
        first, second = (f"{100 * share:.0f} % of the variance" for share in shares.tolist())
        plain(axes).set(title=name, xlabel=first, ylabel=second, xticks=[], yticks=[])
        axes.margins(0.08)
    add_legend(figure, panels[0], loc="upper center")
    figure.tight_layout(rect=(0, 0, 1, 0.94))
    _write(labels)  # at last, when the dots are where they stay
    return figure


def _write(labels: Sequence[tuple[Axes, str, tuple[float, float], str]]) -> None:
    """Write words beside their dots, each in the first free place around it; a line leads to one that is far."""
    taken = []
    for axes, _, dot, _ in labels:
        x, y = axes.transData.transform(dot)
        taken.append(Bbox.from_bounds(x - DOT, y - DOT, 2 * DOT, 2 * DOT))
    for axes, word, dot, colour in labels:
        label = axes.annotate(
            drawable(word), dot, (0, 0), textcoords="offset points", fontsize=LABEL, color=colour, **of_users()
        )
        for away, right, up in product(AWAY, (1, -1, 0), (1, -1, 0)):
            across, along = ("left", "center", "right")[1 - right], ("bottom", "center", "top")[1 - up]
            label.set(position=(away * right, away * up), horizontalalignment=across, verticalalignment=along)
            box = label.get_window_extent()
            inside = axes.bbox.x0 < box.x0 and box.x1 < axes.bbox.x1 and axes.bbox.y0 < box.y0 and box.y1 < axes.bbox.y1
            if inside and (right or up) and not any(box.overlaps(other) for other in taken):
                break
        taken.append(box)
        if away > AWAY[0]:
            line = {"arrowstyle": "-", "linewidth": 0.4, "color": colour, "shrinkA": 0, "shrinkB": 0}
            axes.annotate("", dot, label.get_position(), textcoords="offset points", arrowprops=line)


def project(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Project vectors `(N, F)`, each of length 1, onto the two directions in which they vary most.

    Returns:
        Coordinates `(N, 2)`, whose largest in each direction is positive, and each direction's share of the variance.
    """
    unit = torch.nn.functional.normalize(shown(vectors).double(), dim=1)
    left, sizes, _ = torch.linalg.svd(unit - unit.mean(0), full_matrices=False)
    places = left[:, :2] * sizes[:2]
    largest = places.gather(0, places.abs().argmax(0, keepdim=True))
    return places * largest.sign(), sizes[:2].square() / sizes.square().sum().clamp(min=1e-12)
