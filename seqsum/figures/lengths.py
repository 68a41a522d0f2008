"""How far the network counts: the share of sequences with the right final sum, against their length."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from seqsum.figures.style import GIVEN, INK, SERIES, WRONG, common_style, new_figure, plain, shown

Numbers = NDArray[np.int64]
TICKS = (1, 2, 4, *(times * 10**power for power in range(1, 7) for times in (1, 2, 5)))

MOST_TICKS = 10  # that fit side by side


def binomial_interval(hits: Tensor, trials: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the ends of the 95 % interval of a share by Wilson's score (1927), which also holds near 0 and 1.

    Args:
        hits: Number of successes, any shape.
        trials: Number of trials, at least one, same shape.
    """
    z = 1.959964
    hits, trials = hits.double(), trials.double()
    middle = (hits + z**2 / 2) / (trials + z**2)
    half = z / (trials + z**2) * (hits * (trials - hits) / trials + z**2 / 4).sqrt()
    return (middle - half).clamp(min=0), (middle + half).clamp(max=1)


@common_style
def plot_length_curve(
    lengths: Sequence[int],
    right: Tensor,
    counts: Tensor,
    digit_accuracy: float,
    trained: Iterable[int] = (),
) -> Figure:
    """Draw the share of sequences with the right final sum against their length, with 95 % intervals.

    The dashed line, `p**T`, is the share of sequences whose digits are all read right, if independently. Where the
    curve falls below it, the network fails to count, not to read; it can run above, since misread digits may cancel.

    Args:
        lengths: Sequence lengths `T`, in ascending order.
        right: Number of sequences of each length with the right final sum.
        counts: Number of sequences of each length.
        digit_accuracy: Share of single digits that are read correctly, `p`.
        trained: Lengths of the sequences in training, each marked in grey.
    """
    steps, share = np.asarray(lengths), (shown(right) / shown(counts)).numpy()
    low, high = (100 * end.numpy() for end in binomial_interval(right, counts))
    figure = new_figure(5.6, 3.8)
    axes = _axes(figure, steps)
    for place, (first, last) in enumerate(_runs(trained)):
        label = "in training" if place == 0 else ""
        axes.axvspan(first / 1.06, last * 1.06, color=GIVEN, alpha=0.25, linewidth=0, label=label)
    _all_read_right(axes, steps, digit_accuracy)
    axes.vlines(steps, low, high, color=INK, linewidth=1)
    axes.plot(steps, 100 * share, color=INK, marker="o", markersize=5, label="this network", clip_on=False, zorder=3)
    axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=3, frameon=False, fontsize=9, columnspacing=1)
    return figure


def _runs(lengths: Iterable[int]) -> list[tuple[int, int]]:
    """Join neighbouring lengths: the first and the last of each run without gaps."""
    runs: list[tuple[int, int]] = []
    for length in sorted(set(lengths)):
        if runs and length == runs[-1][1] + 1:
            runs[-1] = runs[-1][0], length
        else:
            runs.append((length, length))
    return runs


@common_style
def plot_length_curves(lengths: Sequence[int], shares: Mapping[str, Tensor], digit_accuracy: float) -> Figure:
    """Draw the share of sequences with the right final sum against their length, one line for each network.

    Args:
        lengths: Sequence lengths `T`, in ascending order.
        shares: Share of right sums at each length, `(N,)`, by the network's name.
        digit_accuracy: Share of single digits that are read correctly, `p`; `p**T`, the share of sequences
            whose digits are all read right, is drawn dashed.
    """
    steps = np.asarray(lengths)
    figure = new_figure(5.6, 3.8)
    axes = _axes(figure, steps)
    _all_read_right(axes, steps, digit_accuracy)
    for place, (name, share) in enumerate(shares.items()):
        axes.plot(
            steps,
            100 * shown(share).numpy(),
            color=SERIES[place % len(SERIES)],
            marker="o",
            markersize=4,
            label=name,
            zorder=3,
        )
    axes.legend(loc="lower left", frameon=False, fontsize=9)
    return figure


def _axes(figure: Figure, steps: Numbers) -> Axes:
    axes = plain(figure.add_axes((0.12, 0.13, 0.85, 0.77), xlabel="length T of the sequence (logarithmic)"))
    axes.set_xscale("log")
    axes.set_xlim(0.9, 1.1 * steps[-1])
    axes.set(ylabel="sequences with the right last sum, %", ylim=(0, 102))
    ticks = [tick for tick in TICKS if tick <= steps[-1]]
    if len(ticks) > MOST_TICKS:
        ticks = [10**power for power in range(7) if 10**power <= steps[-1]]
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.set_xticks([], minor=True)
    return axes


def _all_read_right(axes: Axes, steps: Numbers, digit_accuracy: float) -> None:
    fine = np.geomspace(1, steps[-1], 200)
    label = f"all digits read right: {digit_accuracy:.4f}$^T$"
    axes.plot(fine, 100 * digit_accuracy**fine, color=WRONG, linestyle="--", label=label)
