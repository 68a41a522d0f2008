"""Classified images: each with its answer, how sure the network was, and the truth where it is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from seqsum.figures.letters import drawable, of_users
from seqsum.figures.style import (
    GIVEN,
    INK,
    WRONG,
    black_on_white,
    common_style,
    new_page,
    paste,
    shorten,
    shorten_all,
    shown,
    write_chance,
)

WIDTH = 6.4  # inches, of the figure
SIDE, DOWN = 0.62, 1.12  # inches: of an image, and from one to the next below it
LETTER = 0.062  # inches, more or less
NAME, SOURCE = 14, 20  # most characters of a class's name and of a file's


@common_style
def plot_classified(
    images: Tensor,
    probabilities: Tensor,
    names: Sequence[str],
    labels: Tensor | None = None,
    sources: Sequence[str] | None = None,
    note: str = "",
) -> Figure:
    """Draw images; below each the answer and its probability, then the true class and the probability given to it.

    Args:
        images: Images `(N, C, Y, X)` from 0 to 1, in grey or in three colours.
        probabilities: Probability of each class, `(N, K)`.
        names: Names of the classes.
        labels: True classes `(N,)`, if they are known; a wrong answer has a cross.
        sources: Shown instead of the truth, such as the files of the images.
        note: Shown above the images.
    """
    probabilities = shown(probabilities)
    longest = 9 + min(NAME, max(map(len, names)))  # with a cross and a probability
    across = LETTER * max(longest, SOURCE if sources else 0) + 0.25
    per_line = int(WIDTH / across)
    top = 0.36 if note else 0.08
    figure, axes = new_page(WIDTH, top + DOWN * -(-len(images) // per_line))
    if note:
        axes.text(0.12, 0.18, note, fontsize=8, color=INK, va="center")
    short = shorten_all(sources or [], SOURCE)
    for place, (image, chances) in enumerate(zip(images, probabilities, strict=True)):
        left, upper = 0.12 + across * (place % per_line), top + DOWN * (place // per_line)
        paste(axes, as_picture(image), left, upper, SIDE, SIDE)
        answer = int(chances.argmax())
        label = None if labels is None else int(labels[place])
        wrong = label is not None and answer != label
        texts = [(f"{'✗ ' if wrong else ''}{_said(names, answer, chances)}", WRONG if wrong else INK)]
        if label is not None:
            texts.append((f"is {_said(names, label, chances)}", GIVEN))
        elif sources is not None:
            texts.append((short[sources[place]], GIVEN))
        for line, (text, colour) in enumerate(texts):
            below = upper + SIDE + 0.1 + 0.15 * line
            axes.text(left, below, drawable(text), fontsize=7, color=colour, va="center", **of_users())
    return figure


def as_picture(image: Tensor) -> np.ndarray:
    """Turn an image `(C, Y, X)` into colours `(Y, X, 3)` from 0 to 1; a grey one becomes black on white."""
    if len(image) == 3:
        return shown(image).clamp(0, 1).permute(1, 2, 0).numpy()
    return np.repeat(black_on_white(image[0])[..., None], 3, axis=-1)


def _said(names: Sequence[str], answer: int, chances: Tensor) -> str:
    return f"{shorten(names[answer], NAME)} {write_chance(float(chances[answer]))}"
