"""Copying: what was to be recalled, what the network recalled, and how sure it was."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from seqsum.figures.style import GIVEN, INK, WRONG, mean_by_step, new_figure, plain, shown, shown_steps

ROW = 1.9  # inches of a sequence


def plot_recall(symbols: Tensor, probabilities: Tensor, targets: Tensor, blank: int) -> Figure:
    """Probabilities of all symbols after each step, one sequence below the other.

    A cross stands for a step at which the likeliest symbol is the wrong one, a dot for one at which it is right, an
    open circle for what is read.

    Args:
        symbols: Which symbol is read at each step of each sequence, `(N, T)`.
        probabilities: `(N, T, K)`.
        targets: `(N, T)`.
        blank: Class of the steps where nothing is to be recalled.
    """
    figure = new_figure(7.2, 0.5 + ROW * len(symbols))
    panels = figure.subplots(len(symbols), 1, squeeze=False, sharex=True)[:, 0]
    for axes, read, chances, wanted in zip(panels, symbols, probabilities, targets, strict=True):
        _panel(axes, read, chances, wanted, blank)
    numbers = shown_steps(len(targets[0]))
    panels[-1].set_xticks([step - 1 for step in numbers], labels=[str(step) for step in numbers])
    panels[-1].set_xlabel("step t      ○ read   ● recalled   × should have been recalled")
    figure.tight_layout()
    return figure


def _panel(axes: Axes, symbols: Tensor, probabilities: Tensor, targets: Tensor, blank: int) -> None:
    """One sequence: symbols and targets `(T,)`, probabilities `(T, K)`."""
    read, chances, wanted = symbols.cpu().numpy(), shown(probabilities).numpy(), targets.cpu().numpy()
    axes.imshow(chances.T, cmap="Greys", vmin=0, vmax=1, aspect="auto", origin="lower")
    steps, asked, right = np.arange(len(wanted)), wanted != blank, chances.argmax(-1) == wanted
    recalled, missed = asked & right, asked & ~right
    # with an edge that is seen where the network is sure
    axes.plot(steps[recalled], wanted[recalled], "o", markersize=6, color=INK, markeredgecolor="white")
    axes.plot(steps[missed], wanted[missed], "x", markersize=5, color=WRONG)
    seen = read < blank
    axes.plot(steps[seen], read[seen], color=GIVEN, linestyle="none", marker="o", fillstyle="none", markersize=7)
    classes = chances.shape[-1]
    axes.set(ylabel="symbol", yticks=range(0, classes, max(1, classes // 5)))


def plot_recall_by_place(answers: Tensor, targets: Tensor, blank: int) -> Figure:
    """Share of symbols recalled, by their place in what is to be recalled.

    Args:
        answers: `(B, T)`.
        targets: `(B, T)`; steps with the blank are not asked for.
        blank: Class of these.
    """
    asked = (targets != blank).cpu()
    right = 100 * mean_by_step(shown(answers == targets), asked)[asked.any(dim=0)]
    figure = new_figure(5.6, 3.2)
    axes = plain(figure.add_axes((0.12, 0.15, 0.85, 0.78)))
    places = range(1, len(right) + 1)
    axes.plot(places, right.numpy(), color=INK, marker="o", markersize=5, clip_on=False)
    axes.set(xlabel="place of the symbol", ylabel="symbols recalled, %", ylim=(0, 102), xticks=shown_steps(len(right)))
    return figure
