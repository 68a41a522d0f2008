"""Attention: how much each word that was written weighs each word that was read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.figure import Figure
from torch import Tensor

from seqsum.figures.letters import drawable, of_users
from seqsum.figures.style import GIVEN, POSITIVE, common_style, new_figure, shorten, shown

SQUARE = 0.24  # inches, side of a weight
MARGIN = 0.95  # inches, for the words
LETTERS = 14  # most of a word
MOST = 50  # words drawn in each direction; 12 inches
LINE = 0.17  # inches, of a title


class Attended(NamedTuple):
    """What a network attended to while it wrote.

    Attributes:
        source: Words that it read, `S` of them.
        written: Words that it wrote, `T` of them.
        weights: `(T, S)`; each row sums to 1.
    """

    source: Sequence[str]
    written: Sequence[str]
    weights: Tensor


@common_style
def plot_attention(found: Mapping[str, Attended]) -> Figure:
    """Draw a heat map for each name, side by side: a row for each word written, a column for each word read.

    Colours are from 0 to 1 in all of them, so that maps can be compared. Of longer sentences the first 50 words are
    drawn; the title says so.

    Args:
        found: What networks attended to, by title; an empty title is left out.
    """
    found = dict(_beginning(title, each) for title, each in found.items())
    across = [MARGIN + SQUARE * len(each.source) for each in found.values()]
    most = max(len(each.written) for each in found.values())
    head = MARGIN + (0.08 + LINE * max(title.count("\n") + 1 for title in found) if any(found) else 0.0)
    width, height = sum(across) + 0.7, head + SQUARE * most + 0.1
    figure, left = new_figure(width, height), 0.0
    for (title, each), used in zip(found.items(), across, strict=True):
        rows, columns = len(each.written), len(each.source)
        box = (
            (left + MARGIN - 0.05) / width,
            1 - (head + SQUARE * rows) / height,
            SQUARE * columns / width,
            SQUARE * rows / height,
        )
        axes = figure.add_axes(box)
        drawn = axes.imshow(shown(each.weights).numpy(), cmap=POSITIVE, vmin=0, vmax=1, aspect="auto")
        axes.xaxis.tick_top()
        source, written = (
            [drawable(shorten(word, LETTERS)) for word in words] for words in (each.source, each.written)
        )
        axes.set_xticks(range(columns), source, rotation=90, **of_users())
        axes.set_yticks(range(rows), written, **of_users())
        axes.tick_params(length=0, labelsize=8)
        axes.text(-0.9, -0.9, "read →\nwritten ↓", fontsize=7, color=GIVEN, ha="right", va="bottom")
        if title:
            place = left / width + 0.1 / width, 1 - 0.08 / height
            figure.text(*place, drawable(title), fontsize=9, va="top", **of_users())
        left += used
    bar = figure.add_axes(
        ((width - 0.5) / width, 1 - (head + SQUARE * most) / height, 0.08 / width, SQUARE * most / height)
    )
    figure.colorbar(drawn, cax=bar).set_ticks([0, 0.5, 1])
    bar.tick_params(labelsize=8, length=2)
    return figure


def _beginning(title: str, attended: Attended) -> tuple[str, Attended]:
    """Leave out what is too long to be drawn, and say so in the title."""
    lines = [title] if title else []
    for words, verb in ((attended.source, "read"), (attended.written, "written")):
        if len(words) > MOST:
            lines.append(f"first {MOST} of {len(words):,} words {verb}")
    first = Attended(attended.source[:MOST], attended.written[:MOST], attended.weights[:MOST, :MOST])
    return "\n".join(lines), first
