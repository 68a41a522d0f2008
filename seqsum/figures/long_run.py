"""Why a network loses count on long sequences: errors of its increments, leaks of its units, and ambiguous codes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from torch import Tensor

from seqsum.figures.style import (
    CARD,
    FONT,
    INK,
    SERIES,
    WRONG,
    black_on_white,
    common_style,
    few_ticks,
    new_figure,
    plain,
    short,
    shown,
)

Points = tuple[list[float], list[float]]
BINS = 12  # groups of levels
UNITS = 6  # units whose cell state is drawn


@common_style
def plot_increment_errors(errors: Tensor, sums: Tensor) -> Figure:
    """Draw the root mean square error of an increment against the step and against the level of the sum before it.

    Args:
        errors: What each step added to the network's sum, less what it should have added, `(B, T)`.
        sums: True running sums, `(B, T)`.
    """
    figure = new_figure(*CARD, layout="constrained")
    by_step, by_level = map(plain, figure.subplots(1, 2))
    by_step.set_xlabel("step t (logarithmic)", fontsize=FONT)
    by_level.set_xlabel("level of the sum", fontsize=FONT)
    by_step.plot(*_by_step(errors), color=INK, marker="o", markersize=3)
    by_step.set_xscale("log")
    by_level.plot(*_by_level(errors, sums), color=INK, marker="o", markersize=3)
    by_level.xaxis.set_major_locator(few_ticks())
    for axes in (by_step, by_level):
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(few_ticks())
    by_step.set_title("rms error of an increment", fontsize=FONT, loc="left")
    return figure


@common_style
def plot_long_run(sums: Tensor, true: Tensor, cell_state: Tensor, order: Tensor) -> Figure:
    """Draw a sequence's sums, and below them the cell state of the units that follow the sum most closely.

    Args:
        sums: The network's running sums, `(T,)`.
        true: True running sums, `(T,)`.
        cell_state: `(T, H)`.
        order: Units from the one that rises most with the sum to the one that falls most, `(H,)`.
    """
    figure = new_figure(6.4, 4.2, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    steps = np.arange(1, len(sums) + 1)
    plain(above).plot(steps, shown(true).numpy(), color=WRONG, linewidth=1, label="true sum")
    above.plot(steps, shown(sums).numpy(), color=INK, linewidth=0.8, linestyle="--", label="the network's")
    above.legend(frameon=False, fontsize=FONT)
    followers = order if len(order) <= UNITS else torch.cat([order[: UNITS // 2], order[-(UNITS // 2) :]])
    for place, unit in enumerate(followers.tolist()):
        colour = SERIES[place % len(SERIES)]
        plain(below).plot(steps, shown(cell_state[:, unit]).numpy(), color=colour, linewidth=0.8, label=f"unit {unit}")
    below.legend(
        frameon=False,
        fontsize=FONT,
        ncols=UNITS,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        handlelength=1,
        columnspacing=1,
    )
    below.set_xlabel("step t", fontsize=FONT)
    below.set_ylabel("cell state", fontsize=FONT)
    return figure


@common_style
def plot_leaks(forget_gate: Tensor, weights: Tensor) -> Figure:
    """Draw how much of its cell state each unit loses in a step, and how much of it the sum is read from.

    Args:
        forget_gate: `(B, T, H)`.
        weights: Weight of each unit's output in the sum, `(H,)`.
    """
    leak = 1 - forget_gate.detach().cpu().double().mean(dim=(0, 1))  # double, because a gate is close to 1
    figure = new_figure(*CARD, layout="constrained")
    axes = plain(figure.subplots())
    axes.plot(leak.clamp(min=1e-8).numpy(), shown(weights).abs().numpy(), "o", color=INK, markersize=3, alpha=0.6)
    axes.set_xscale("log")
    axes.xaxis.set_minor_formatter(NullFormatter())  # within one decade their labels would overlap
    finite = leak[leak.isfinite()]
    least, most = np.log10(finite.clamp(min=1e-8, max=1).aminmax()).tolist() if len(finite) else (-1.0, 0.0)
    axes.set_xlim(10 ** (math.floor(least) - 0.1), 10 ** (math.ceil(most) + 0.1))
    axes.set_xlabel("leak of the unit, 1 − mean forget gate (logarithmic)", fontsize=FONT)
    axes.set_title("weight of the unit in the sum", fontsize=FONT, loc="left")
    axes.set_ylim(bottom=0)
    return figure


@common_style
def plot_codes(images: Tensor, codes: Tensor, chosen: Tensor, read: Sequence[Sequence[float]]) -> Figure:
    """Draw ambiguous digits with the codes that share each of them, and what is read from the mixture and the choice.

    Args:
        images: Pixels `(N, Y, X)`, light on dark.
        codes: Share of each code, `(N, F)`; shares add up to 1.
        chosen: Code that is passed on, `(N,)`.
        read: Digit that is read from the two largest codes alone and from their mixture, `N` times three numbers.
    """
    figure = new_figure(1.05 * len(images) + 0.3, 2.3)
    for place, (image, shares, one, numbers) in enumerate(zip(images, shown(codes), chosen, read, strict=True)):
        left, width = (0.15 + 1.05 * place) / figure.get_figwidth(), 0.9 / figure.get_figwidth()
        figure.add_axes((left, 0.55, width, 0.4)).imshow(black_on_white(image), cmap="gray", vmin=0, vmax=1)
        figure.axes[-1].set_axis_off()
        axes = plain(figure.add_axes((left, 0.25, width, 0.25)))
        largest = shares.topk(2)
        colours = [INK if int(code) == int(one) else WRONG for code in largest.indices]
        axes.barh([0, 1], largest.values.numpy(), color=colours, height=0.7)
        axes.set(xlim=(0, 1.4), ylim=(1.6, -0.6), xticks=(), yticks=())  # room for the numbers
        for row in range(2):
            text = _reading(numbers[row], decimals=1)
            axes.text(float(largest.values[row]) + 0.04, row, text, fontsize=8, va="center")
        figure.text(left, 0.1, f"mixture {_reading(numbers[2], decimals=2)}", fontsize=8)
    return figure


def _reading(value: float, decimals: int) -> str:
    """Write what is read from a digit; in few letters if it is far from one, as by a network that diverged."""
    return f"{value:.{decimals}f}" if abs(value) < 100 else short(value)


@common_style
def plot_causes(found: Mapping[str, tuple[Tensor, Tensor, Tensor]]) -> Figure:
    """Draw side by side why networks lose count: digits read as no number, and errors that grow with step and level.

    Args:
        found: By the network's name: what it reads from single digits, `(N,)`; errors of its increments, `(B, T)`; and
            true running sums, `(B, T)`.
    """
    figure = new_figure(9.6, 3.4, layout="constrained")
    labels = ("distance of a digit's reading from a number", "step t (logarithmic)", "level of the sum")
    titles = ("digits read as far from a number, %", "rms error of an increment", "rms error of an increment")
    axes = [plain(panel) for panel in figure.subplots(1, 3)]
    for place, (name, (readings, errors, sums)) in enumerate(found.items()):
        away = (shown(readings) - shown(readings).round()).abs().sort(descending=True).values
        shares = 100 * np.arange(1, len(away) + 1) / len(away)
        round_, colour = divmod(place, len(SERIES))
        line = {"color": SERIES[colour], "linestyle": "--" if round_ % 2 else "-"}
        style: dict[str, Any] = {**line, "linewidth": 1.2, "label": name}
        axes[0].plot(away.numpy(), shares, **style)
        axes[1].plot(*_by_step(errors), **style)
        axes[2].plot(*_by_level(errors, sums), **style)
    axes[0].set(xlim=(0, 0.5), yscale="log")
    axes[1].set_xscale("log")
    for one in axes[1:]:
        one.set_yscale("log")
    for one, title, label in zip(axes, titles, labels, strict=True):
        one.set_title(title, fontsize=FONT, loc="left")
        one.set_xlabel(label, fontsize=FONT)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(found), frameon=False, fontsize=FONT)
    return figure


def _by_step(errors: Tensor) -> Points:
    """Group the steps of errors `(B, T)`, finely at the start; return middles and root mean square errors."""
    errors = shown(errors)
    edges = np.unique(np.geomspace(1, errors.shape[1] + 1, 2 * BINS).round().astype(int)) - 1
    groups = list(pairwise(edges))
    return [(start + 1 + end) / 2 for start, end in groups], [_rms(errors[:, start:end]) for start, end in groups]


def _by_level(errors: Tensor, sums: Tensor) -> Points:
    """Group errors `(B, T)` by the level of the sum before them; return mean levels and root mean square errors."""
    errors, sums = shown(errors), shown(sums)
    levels = torch.cat([torch.zeros_like(sums[:, :1]), sums[:, :-1]], dim=1).abs().flatten()
    groups = [group for group in levels.argsort().tensor_split(BINS) if len(group)]
    return [float(levels[group].mean()) for group in groups], [_rms(errors.flatten()[group]) for group in groups]


def _rms(errors: Tensor) -> float:
    return float(errors.square().mean().sqrt())
