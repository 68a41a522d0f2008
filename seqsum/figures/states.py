"""Gates and states of the recurrence over time, and the number line that its states form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patheffects import withStroke
from torch import Tensor
from torch.nn import functional as F

from seqsum.data.sums import Operation, signs
from seqsum.figures.style import (
    CARD,
    FONT,
    INK,
    black_on_white,
    colour_scale,
    common_style,
    few_ticks,
    new_figure,
    new_page,
    number,
    paste,
    plain,
    short,
    shown,
    shown_steps,
    write_signs,
)

HIGH, STEP = 0.76, 0.14  # inches, height of a heat map, and least width of a step
LEFT, TOP = 0.42, 0.66  # inches, place of the first heat map on the page
BAR, BELOW = 0.5, 0.25  # inches between heat maps, for the colour bar, and for the title of the next
WRITTEN = 5  # characters that fit beside a colour bar in full size
PATH = 6  # steps of the path that is drawn
SIDES = (0, 10), (0, -10), (-14, 10), (14, 10), (-14, -10), (14, -10)  # points from a state to its label
APART = 16  # points between labels


def order_units(states: Tensor, targets: Tensor, mask: Tensor | None = None) -> Tensor:
    """Sort units `(H,)` by correlation with the targets, from the one that rises most to the one that falls most.

    Args:
        states: `(B, T, H)`.
        targets: `(B, T)`.
        mask: `(B, T)`, True where a step exists; None for all.
    """
    valid = torch.ones_like(targets, dtype=torch.bool) if mask is None else mask
    units, sums = shown(states[valid]), shown(targets[valid])  # (N, H), (N,)
    units = units - units.mean(dim=0)
    rising = (sums - sums.mean()) @ units / units.norm(dim=0).clamp(min=1e-12)
    return rising.nan_to_num().argsort(descending=True, stable=True)


@common_style
def plot_gates(
    gates: Mapping[str, Tensor],
    images: Tensor | None = None,
    operation: Operation = "alternating",
    order: Tensor | None = None,
) -> Figure:
    """Draw a heat map of each gate and state of one layer while it reads one sequence, below the digits.

    Args:
        gates: Gates and states, `(T, H)` each, named as by `seqsum.trace`, without the layer.
        images: Grey digits `(T, 28, 28)`; None for inputs that are no images.
        operation: Signs of the steps, drawn above the digits.
        order: Units from top to bottom, see `order_units`; unsorted by default.
    """
    columns = -(-len(gates) // 2)
    rows = -(-len(gates) // columns)
    length = max(len(values) for values in gates.values())
    wide = max((CARD[0] - LEFT) / max(columns, 3) - BAR, STEP * length)
    figure, axes = new_page(LEFT + (wide + BAR) * columns, TOP + HIGH * rows + BELOW * (rows - 1) + 0.38)
    label = "units" if order is None else "rising to\nfalling units"
    for place, (name, values) in enumerate(gates.items()):
        row, column = divmod(place, columns)
        left, top = LEFT + (wide + BAR) * column, TOP + (HIGH + BELOW) * row
        fits = order is not None and len(order) == values.shape[1]  # a projected state has fewer units
        _heat_map(axes, name, values[:, order] if fits else values, left, top, wide)
        if column == 0:
            axes.text(left - 0.05, top + HIGH / 2, label, rotation=90, ha="right", va="center", fontsize=8)
        if row == 0 and images is not None:
            _head(axes, images, left, wide, operation)
        if place + columns >= len(gates):
            _steps(axes, len(values), left, top + HIGH, wide)
    return figure


def _head(axes: Axes, images: Tensor, left: float, wide: float, operation: Operation) -> None:
    """Draw digits and signs above the column of heat maps that begins at `left`."""
    pitch = wide / len(images)
    size = min(0.95 * pitch, 0.28)
    middles = [left + pitch * (step + 0.5) for step in range(len(images))]
    for image, middle in zip(images, middles, strict=True):
        paste(axes, black_on_white(image), middle - size / 2, 0.46 - size, size, size, cmap="gray", vmin=0, vmax=1)
    added = (signs(len(images), operation) > 0).tolist()
    write_signs(axes, [(middle, 0.4 - size) for middle in middles], added, size=5)


def _heat_map(axes: Axes, name: str, values: Tensor, left: float, top: float, wide: float) -> None:
    """Draw a heat map, with time to the right and units downwards, and its colour bar."""
    units = shown(values).T.numpy()  # (H, T)
    scale = colour_scale(units, inside=0.98)  # else one extreme unit would make all others pale
    paste(axes, units, left, top, wide, HIGH, **scale)
    bar = np.linspace(scale["vmax"], scale["vmin"], 64)[:, None]
    paste(axes, bar, left + wide + 0.04, top, 0.07, HIGH, **scale)
    axes.text(left + wide / 2, top - 0.03, name.replace("_", " "), ha="center", va="bottom", fontsize=FONT, color=INK)
    for place, value, beyond in ((0, scale["vmax"], "≥"), (1, scale["vmin"], "≤")):
        clipped = (units > value).any() if place == 0 else (units < value).any()
        text = f"{beyond if clipped else ''}{short(value)}"
        style: dict[str, Any] = {"va": "center", "fontsize": 8 * min(1, WRITTEN / len(text)), "color": INK}
        axes.text(left + wide + 0.13, top + 0.05 + place * (HIGH - 0.1), text, **style)


def _steps(axes: Axes, length: int, left: float, y: float, wide: float) -> None:
    """Number the steps below a heat map."""
    for step in shown_steps(length, most=6):
        axes.text(left + wide * (step - 0.5) / length, y + 0.03, str(step), ha="center", va="top", fontsize=8)
    axes.text(left + wide / 2, y + 0.17, "step t", ha="center", va="top", fontsize=8)


def principal_components(states: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Project states onto the two directions in which they vary most, with fixed signs so that epochs compare.

    Args:
        states: `(B, T, H)`.
        targets: `(B, T)`.

    Returns:
        The projected states, `(B, T, 2)`, and each direction's share of the variance, `(2,)`. The first coordinate
        rises with the targets; the second is above average after the first step.
    """
    flat = shown(states).double().flatten(0, 1)  # (B·T, H)
    flat = F.pad(flat - flat.mean(dim=0), (0, max(0, 2 - flat.shape[1])))  # a single unit has only one direction
    finite = flat.nan_to_num(0, 0, 0)  # draw nothing, without an error, after a diverged training
    variance, directions = torch.linalg.eigh(finite.T @ finite)  # ascending
    seen = (flat @ directions[:, -2:].flip(-1)).unflatten(0, states.shape[:2])
    sums = shown(targets)
    turn = torch.stack([(seen[..., 0] * (sums - sums.mean())).sum(), seen[:, 0, 1].sum()])
    shares = variance[-2:].flip(0) / variance.sum().clamp(min=1e-12)
    return torch.where(turn < 0, -seen, seen).float(), shares.float()


@common_style
def plot_number_line(states: Tensor, targets: Tensor, operation: Operation) -> Figure:
    """Draw hidden states in the plane in which they vary most, coloured by the true sum, and one sequence's path.

    Args:
        states: Hidden states, `(B, T, H)`; the path is that of the first sequence, labelled with its true sums.
        targets: True running sums, `(B, T)`.
        operation: Signs of the steps.
    """
    seen, shares = principal_components(states, targets)
    sums = shown(targets)
    figure, layout = new_figure(*CARD), ConstrainedLayoutEngine()
    figure.set_layout_engine(layout)
    axes = plain(figure.subplots())
    scale = colour_scale(sums.numpy())
    added = signs(sums.shape[1], operation) > 0
    for steps, marker in ((added, "o"), (~added, "s")):
        if steps.any():
            x, y = seen[:, steps].flatten(0, 1).numpy().T
            style = {"marker": marker, "s": 12, "edgecolors": INK, "linewidths": 0.3, **scale}
            dots = axes.scatter(x, y, c=sums[:, steps].flatten().numpy(), **style)
    axes.plot(*seen[0, :PATH].numpy().T, color=INK, linewidth=1, marker="o", markersize=4)
    axes.set_xlabel(f"first principal component ({float(shares[0]):.0%} of variance)", fontsize=FONT)
    axes.set_ylabel(f"second component ({float(shares[1]):.0%})", fontsize=FONT)
    axes.xaxis.set_major_locator(few_ticks())
    axes.yaxis.set_major_locator(few_ticks())
    markers = "○ after +   □ after −" if (~added).any() else "○ a step"
    axes.set_title(f"{markers}   ●–● one sequence", fontsize=FONT)
    bar = figure.colorbar(dots, ax=axes, ticks=few_ticks(), aspect=27, pad=0.02)
    bar.ax.tick_params(labelsize=FONT)
    bar.set_label("true running sum", fontsize=FONT)
    layout.execute(figure)
    figure.set_layout_engine("none")  # the labels of the path are placed by where the states now are
    _label_path(figure, axes, seen[0, :PATH], sums[0, :PATH])
    return figure


def _label_path(figure: Figure, axes: Axes, places: Tensor, sums: Tensor) -> None:
    """Write the sum beside each state of a path, `(T, 2)`; equal sums in one place are written once."""
    near = 0.05 * np.ptp([axes.get_xlim(), axes.get_ylim()], axis=1)
    to_points = 72 / figure.dpi
    written: list[tuple[str, np.ndarray]] = []
    labels: list[np.ndarray] = []  # where they are, in points
    for place, total in zip(places.numpy(), sums.tolist(), strict=True):
        text = number(total)
        if any(text == other and (abs(place - at) < near).all() for other, at in written):
            continue
        written.append((text, place))
        around = axes.transData.transform(place) * to_points + np.array(SIDES)
        free = [min((np.hypot(*(at - other)) for other in labels), default=APART) for at in around]
        side = int(np.argmax(np.minimum(free, APART)))  # the first with enough room, or that with most
        labels.append(around[side])
        label = axes.annotate(text, place, SIDES[side], textcoords="offset points", ha="center", va="center")
        label.set(fontweight="bold", path_effects=[withStroke(linewidth=3, foreground="white")])
