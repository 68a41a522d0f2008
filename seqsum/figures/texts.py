"""Texts whose words are coloured by how each moved a prediction, for pages and for terminals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np
from rich.style import Style
from rich.text import Text

from seqsum.figures.style import write_chance

# from pale to strong; readers of all kinds of colour vision can tell blue from orange, and dark text stands out on all
AGAINST = ("#fde6d5", "#fbc9a3", "#f5a26b", "#e8834a")
TOWARDS = ("#dbe9f6", "#b3d3ec", "#82b8e0", "#5a9fd4")
DARK, PAPER = "#111111", "#ffffff"
LEAST = 0.25  # smallest limit of the scale, so that a network that nothing moves is not shown in strong colours
INSIDE = 0.98  # share of the words that lie within the scale
LISTED = 5  # most words listed in each direction

BOX = (
    f"background: {PAPER}; color: {DARK}; padding: 0.6rem 0.8rem; margin: 0.8rem 0; border-radius: 4px; "
    "border: 1px solid #cccccc; overflow-wrap: anywhere; print-color-adjust: exact; -webkit-print-color-adjust: exact"
)
SWATCH = "padding: 0.2em 0.4em"
UNKNOWN = "text-decoration: underline dotted #444444 2px; text-underline-offset: 0.2em"


class Directions(NamedTuple):
    """Names of the two directions in which a word can move a prediction, such as `positive` and `negative`."""

    towards: str
    against: str


class ReadText(NamedTuple):
    """A text, and what each of its words did to a prediction.

    Attributes:
        words: The words.
        changes: Change of the log-odds that each word caused, `(T,)`.
        chances: Probability after each word, `(T,)`.
        known: Whether each word is in the vocabulary.
    """

    words: Sequence[str]
    changes: Sequence[float]
    chances: Sequence[float]
    known: Sequence[bool]


def limit_of(texts: Sequence[ReadText]) -> float:
    """Choose the change that gets the strongest colour: few words of the texts are beyond it."""
    changes = np.abs([change for text in texts for change in text.changes if math.isfinite(change)])
    return max(LEAST, float(np.quantile(changes, INSIDE))) if len(changes) else LEAST


def colour_of(change: float, limit: float) -> str | None:
    """Return the background of a word; None for a change of less than an eighth of the limit, and for no number."""
    level = min(round(len(TOWARDS) * abs(change) / limit), len(TOWARDS)) if math.isfinite(change) else 0
    return None if level == 0 else (TOWARDS if change > 0 else AGAINST)[level - 1]


def make_words_html(text: ReadText, directions: Directions, limit: float, title: str, verdict: str) -> str:
    """Make an HTML box of a text; pointing at a word shows its value.

    Args:
        text: The text.
        directions: Names of the two directions.
        limit: Change that gets the strongest colour.
        title: Name of the text, in bold.
        verdict: What the network made of it.
    """
    words = zip(*text, strict=True)
    body = " ".join(_word_html(*word, directions, limit) for word in words)
    lines = "".join(f"<br>{escape(line)}" for line in list_strongest(text, directions))
    return (
        f'<div style="{BOX}"><p style="margin: 0"><strong>{escape(title)}</strong>: {escape(verdict)}</p>\n'
        f'<p style="line-height: 1.9; margin: 0.5rem 0">{body}</p>\n'
        f'<p style="margin: 0; font-size: 0.9rem">{lines.removeprefix("<br>")}</p></div>'
    )


def _word_html(word: str, change: float, chance: float, known: bool, directions: Directions, limit: float) -> str:
    colour = colour_of(change, limit)
    style = [f"background: {colour}; padding: 0.1em 0.15em; border-radius: 0.2em"] if colour else []
    style += [] if known else [UNKNOWN]
    value = f"{write_change(change)}, then {directions.towards} with probability {write_chance(chance)}"
    value += "" if known else " (not in the vocabulary)"
    styled = f' style="{"; ".join(style)}"' if style else ""
    return f'<span title="{escape(value)}"{styled}>{escape(word)}</span>'


def make_legend(directions: Directions, limit: float) -> str:
    """Make an HTML box with the scale of colours."""
    steps = len(TOWARDS)
    values = [limit * level / steps for level in range(-steps, steps + 1)]
    swatches = "".join(
        f'<span style="background: {colour_of(value, limit) or PAPER}; {SWATCH}">{write_change(value)}</span>'
        for value in values
    )
    return (
        f'<div style="{BOX}; font-size: 0.8rem; line-height: 2">towards {escape(directions.against)} {swatches} '
        f"towards {escape(directions.towards)}</div>"
    )


def make_words_text(text: ReadText, directions: Directions, limit: float, title: str, verdict: str) -> Text:
    """Make a text for the terminal: in colour where there are colours, and with what matters in words.

    Args:
        text, directions, limit, title, verdict: See `make_words_html`.
    """
    printed = Text.assemble((title, "bold"), f": {verdict}\n")
    for place, (word, change, _, known) in enumerate(zip(*text, strict=True)):
        colour = colour_of(change, limit)
        style = Style(color=DARK if colour else None, bgcolor=colour, underline=True if not known else None)
        printed.append(" " if place else "").append(word, style)
    for line in list_strongest(text, directions):
        printed.append(f"\n  {line}")
    unknown = dict.fromkeys(word for word, known in zip(text.words, text.known, strict=True) if not known)
    if unknown:
        printed.append(f"\n  not in the vocabulary: {', '.join(unknown)}")
    return printed.append("\n")


def list_strongest(text: ReadText, directions: Directions) -> list[str]:
    """List the words that moved the prediction most in each direction, the strongest first, each once."""
    lines = []
    for sign, name in zip((1, -1), directions, strict=True):
        strongest: dict[str, float] = {}
        for word, change in sorted(zip(text.words, text.changes, strict=True), key=lambda pair: -sign * pair[1]):
            if round(sign * change, 2) > 0 and len(strongest) < LISTED:
                strongest.setdefault(word, change)
        if strongest:
            listed = (f"{word} {write_change(change)}" for word, change in strongest.items())
            lines.append(f"towards {name}: {', '.join(listed)}")
    return lines


def write_change(change: float) -> str:
    """Write a change with its sign, a true minus; a dash if it is no number."""
    if not math.isfinite(change):
        return "–"
    written = f"{change:+.2f}".replace("-", "−")
    return "0" if written[1:] == "0.00" else written
