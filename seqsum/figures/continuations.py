"""Curves that networks continue, and how the error grows with the number of steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from seqsum.figures.style import CELLS, GIVEN, INK, SERIES, add_legend, common_style, new_figure, plain, shown


@common_style
def plot_continuations(
    given: Tensor, continued: Mapping[str, Tensor], titles: Sequence[str], truth: Tensor | None = None
) -> Figure:
    """Draw a row for each curve and a column for each network: given samples, continuation, and truth.

    Args:
        given: Given samples, `(B, T)`.
        continued: Samples predicted after the given ones, `(B, steps)`, by network.
        titles: Titles of the curves.
        truth: True curves, `(B, T + steps)`, if known.
    """
    figure = new_figure(1.2 + 5.4 * len(continued), 0.9 + 1.5 * len(given))
    axes = figure.subplots(len(given), len(continued), sharex=True, sharey=True, squeeze=False)
    for column, (name, samples) in enumerate(continued.items()):
        for row, title in enumerate(titles):
            panel = plain(axes[row, column])
            label = f"continued by the {name if len(continued) > 1 else 'network'}"
            _draw(panel, given[row], samples[row], None if truth is None else truth[row], name, label)
            panel.set_title(
                ", ".join(part for part in (name if len(continued) > 1 else "", title) if part), fontsize=10
            )
        axes[-1, column].set_xlabel("step")
    for row in axes:
        row[0].set_ylabel("sample")
    add_legend(figure, *axes[0], loc="lower center")
    figure.tight_layout(rect=(0, 0.25 / figure.get_figheight(), 1, 1))
    return figure


def _draw(axes: Axes, given: Tensor, samples: Tensor, truth: Tensor | None, name: str, label: str) -> None:
    start, end = len(given), len(given) + len(samples)
    if truth is not None:
        axes.plot(range(1, end + 1), shown(truth).numpy(), color=GIVEN, linewidth=4, alpha=0.35, label="truth")
    axes.plot(range(1, start + 1), shown(given).numpy(), color=INK, label="given")
    colour = CELLS[name]["color"] if name in CELLS else SERIES[0]
    axes.plot(range(start + 1, end + 1), shown(samples).numpy(), color=colour, linestyle="--", label=label)


@common_style
def plot_drift(errors: Mapping[str, Tensor], typical: float) -> Figure:
    """Draw the error of continuations against the number of predicted steps.

    Args:
        errors: Root mean squared error after 1, 2, … steps, `(runs, steps)`, by cell. Each run gets a faint line and
            their geometric mean, the middle on a logarithmic axis, a strong one.
        typical: Error of always predicting 0, drawn as a dotted line.
    """
    figure = new_figure(5.6, 3.8)
    axes = plain(figure.add_axes((0.14, 0.14, 0.83, 0.75), yscale="log"))
    axes.axhline(typical, color=GIVEN, linestyle=":", label="always 0")
    for cell, runs in errors.items():
        steps = range(1, runs.shape[1] + 1)
        axes.plot(steps, shown(runs).T.numpy(), color=CELLS[cell]["color"], linewidth=0.8, alpha=0.4)
        middle = shown(runs).log().mean(0).exp().numpy()
        axes.plot(steps, middle, label=cell, markersize=5, markevery=max(1, len(steps) // 8), **CELLS[cell])
    axes.set(xlabel="steps after the last sample given", ylabel="root mean squared error")
    axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=5, frameon=False, fontsize=9, columnspacing=1)
    return figure
