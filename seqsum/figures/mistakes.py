"""Texts that were answered wrongly, as a list to read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from seqsum.figures.letters import drawable, of_users
from seqsum.figures.style import GIVEN, INK, WRONG, common_style, new_page, shorten

WORDS = 8  # shown of a text's beginning, and of its end


class Mistake(NamedTuple):
    """A wrong answer.

    Attributes:
        name: Name of the text; empty if it is not known.
        label, answer: Name of the true label, and of the answer.
        chance: Probability that the network gave to its answer, as written.
        words: Words of the text; empty if they are not known.
    """

    name: str
    label: str
    answer: str
    chance: str
    words: Sequence[str]

    @property
    def beginning(self) -> str:
        """The first words."""
        return " ".join(self.words[:WORDS])

    @property
    def end(self) -> str:
        """The last words, as far as they are not in the beginning."""
        return " ".join(self.words[WORDS:][-WORDS:])

    @property
    def summary(self) -> str:
        """Beginning and end in one line."""
        return " … ".join(part for part in (self.beginning, self.end) if part)


@common_style
def plot_mistakes(mistakes: Sequence[Mistake], note: str = "") -> Figure:
    """List mistakes, each with its beginning and its end.

    Args:
        mistakes: The mistakes, in order.
        note: Shown above them.
    """
    top = 0.4 if note else 0.1
    figure, axes = new_page(6.4, top + 0.48 * len(mistakes) + 0.05)
    if note:
        axes.text(0.1, 0.2, note, fontsize=8, color=GIVEN, va="center")
    for place, mistake in enumerate(mistakes):
        line = top + 0.48 * place + 0.12
        name, said = (
            drawable(shorten(mistake.name, 40)),
            drawable(f"✗ {mistake.answer} {mistake.chance}, is {mistake.label}"),
        )
        axes.text(0.1, line, name, fontsize=8, color=INK, va="center", **of_users())
        axes.text(6.3, line, said, fontsize=8, color=WRONG, va="center", ha="right", **of_users())
        words = drawable(" … ".join(part[:50] for part in (mistake.beginning, mistake.end) if part))
        axes.text(0.1, line + 0.18, words, fontsize=7, color=GIVEN, va="center", **of_users())
    return figure
