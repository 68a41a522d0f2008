"""Copy memory: which symbols a network recalls, and with what probability."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from seqsum.figures.style import (
    GIVEN,
    INK,
    WRONG,
    common_style,
    dots,
    mean_by_step,
    new_figure,
    plain,
    shown,
    shown_steps,
)

ROW = 1.9  # inches, height of a sequence


@common_style
def plot_recall(symbols: Tensor, probabilities: Tensor, targets: Tensor, blank: int) -> Figure:
    """Draw the probabilities of all symbols after each step, one sequence below the other.

    An open circle marks a symbol that is read, a dot one that is recalled correctly, and a cross one that should have
    been recalled.

    Args:
        symbols: Symbol read at each step, `(N, T)`.
        probabilities: Probabilities of the symbols, `(N, T, K)`.
        targets: True symbols, `(N, T)`.
        blank: Class of the steps that recall nothing.
    """
    figure = new_figure(7.2, 0.5 + ROW * len(symbols))
    panels = figure.subplots(len(symbols), 1, squeeze=False, sharex=True)[:, 0]
    for axes, read, chances, wanted in zip(panels, symbols, probabilities, targets, strict=True):
        _panel(axes, read, chances, wanted, blank)
    numbers = shown_steps(len(targets[0]))
    panels[-1].set_xticks([step - 1 for step in numbers], labels=[str(step) for step in numbers])
    panels[-1].set_xlabel("step t      ○ read   ● recalled   × should have been recalled      dark: probable")
    figure.tight_layout()
    return figure


def _panel(axes: Axes, symbols: Tensor, probabilities: Tensor, targets: Tensor, blank: int) -> None:
    """Draw one sequence: symbols and targets `(T,)`, probabilities `(T, K)`."""
    read, chances, wanted = symbols.cpu().numpy(), shown(probabilities).numpy(), targets.cpu().numpy()
    axes.imshow(chances.T, cmap="Greys", vmin=0, vmax=1, aspect="auto", origin="lower")
    steps, asked, right = np.arange(len(wanted)), wanted != blank, chances.argmax(-1) == wanted
    recalled, missed = asked & right, asked & ~right
    # with a white edge, to be visible on black where the network is sure
    axes.plot(steps[recalled], wanted[recalled], "o", markersize=6, color=INK, markeredgecolor="white")
    axes.plot(steps[missed], wanted[missed], "x", markersize=5, color=WRONG)
    seen = read < blank
    axes.plot(steps[seen], read[seen], color=GIVEN, linestyle="none", marker="o", fillstyle="none", markersize=7)
    classes = chances.shape[-1]
    named = [symbol for symbol in range(0, classes, max(1, classes // 5)) if abs(symbol - blank) > 1 or classes < 5]
    ticks = sorted({*named, blank} & set(range(classes)))
    axes.set_yticks(ticks, ["nothing" if symbol == blank else str(symbol) for symbol in ticks])
    axes.set_ylabel("symbol")


@common_style
def plot_recall_by_place(answers: Tensor, targets: Tensor, blank: int) -> Figure:
    """Draw the share of symbols recalled, by their place in the sequence to recall.

    Args:
        answers: Recalled symbols, `(B, T)`.
        targets: True symbols, `(B, T)`; steps with a blank are not counted.
        blank: Class of the steps that recall nothing.
    """
    asked = (targets != blank).cpu()
    right = 100 * mean_by_step(shown(answers == targets), asked)[asked.any(dim=0)]
    figure = new_figure(5.6, 3.2)
    axes = plain(figure.add_axes((0.12, 0.15, 0.85, 0.78)))
    places = range(1, len(right) + 1)
    axes.plot(places, right.numpy(), color=INK, clip_on=False, **dots(len(right), 5))
    axes.set(xlabel="place of the symbol", ylabel="symbols recalled, %", ylim=(0, 102), xticks=shown_steps(len(right)))
    return figure
