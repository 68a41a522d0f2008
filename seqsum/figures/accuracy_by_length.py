"""The share of right answers against the length of what was read."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from seqsum.figures.lengths import binomial_interval
from seqsum.figures.style import CARD, GIVEN, INK, common_style, new_figure, plain

MOST = 6  # groups; the labels of more would overlap
FEWEST = 20  # sequences in a group; fewer groups are made otherwise


def group_by_length(lengths: Tensor) -> list[Tensor]:
    """Divide sequences into groups of similar length and about the same size; equal lengths stay together.

    Args:
        lengths: Length of each sequence, `(N,)`, at least one.

    Returns:
        The places of each group's sequences, `(n,)`, the shortest first.
    """
    count = max(1, min(MOST, len(lengths) // FEWEST))
    last = (torch.arange(1, count + 1) * len(lengths) + count - 1) // count - 1  # place of each group's longest
    ends = lengths.sort().values[last].unique()
    group = torch.bucketize(lengths, ends)  # ends are the highest of their groups
    return [(group == number).nonzero().squeeze(1) for number in range(len(ends))]


@common_style
def plot_accuracy_by_length(lengths: Tensor, right: Tensor, unit: str = "words") -> Figure:
    """Draw the share of right answers for groups of similar length, with 95 % intervals.

    Args:
        lengths: Length of each sequence, `(N,)`, at least one.
        right: Whether the answer to each is right, `(N,)`.
        unit: What the lengths count, for the axis.
    """
    lengths, right = lengths.cpu(), right.cpu()
    groups = group_by_length(lengths)
    hits = torch.stack([right[places].sum() for places in groups])
    counts = torch.tensor([len(places) for places in groups])
    low, high = (100 * end.numpy() for end in binomial_interval(hits, counts))
    figure = new_figure(*CARD)
    axes = plain(figure.add_axes((0.13, 0.24, 0.85, 0.64), ylabel="right answers, %"))
    place = np.arange(len(groups))
    overall = 100 * float(right.float().mean())
    axes.axhline(overall, color=GIVEN, linestyle="--", linewidth=1, label=f"all: {overall:.1f} %")
    axes.vlines(place, low, high, color=INK, linewidth=1)
    axes.plot(place, (100 * hits / counts).numpy(), "o", color=INK, markersize=5, label="group, 95 % interval")
    axes.set_xticks(place, [_label(lengths[places]) for places in groups], fontsize=7)
    axes.set_xlabel(f"{unit} read, and number of texts", fontsize=8)
    axes.set(xlim=(-0.6, len(groups) - 0.4), ylim=(max(0, 10 * np.floor(low.min() / 10)), 101))
    axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=2, frameon=False, fontsize=8)
    return figure


def _label(lengths: Tensor) -> str:
    shortest, longest = int(lengths.min()), int(lengths.max())
    return f"{shortest}{'' if shortest == longest else f'–{longest}'}\n{len(lengths):,}"
