"""Decisions on a class after each step: for single images, and over many sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from torch import Tensor

from seqsum.figures.letters import drawable, of_users
from seqsum.figures.style import (
    GIVEN,
    INK,
    POSITIVE,
    SERIES,
    WRONG,
    black_on_white,
    common_style,
    dots,
    mean_by_step,
    new_figure,
    plain,
    shorten_all,
    shown,
    shown_steps,
)

Steps = Literal["rows", "columns"]
PER_LINE = 4  # images side by side
NAME = 34  # characters of a name that fit above an image
PANEL = 1.25  # inches, side of an image and of the probabilities beside it
NOTE = 6.0  # inches that the explanation takes in one line
SETTLED = SERIES[3]  # visible on white and on both ends of the colour map


def settled_at(answers: Tensor, mask: Tensor | None = None) -> Tensor:
    """Find the step, from 1, after which the answer no longer changes: `(…, T)` -> `(…)`.

    Args:
        answers: Answer after each step.
        mask: True where a step exists; None for all. The last answer is that of the last existing step.
    """
    if mask is None:
        agrees = answers == answers[..., -1:]
        return answers.shape[-1] + 1 - agrees.long().flip(-1).cumprod(-1).sum(-1)
    steps = torch.arange(1, answers.shape[-1] + 1, device=answers.device)
    last = (steps * mask).argmax(-1, keepdim=True)
    differs = mask & (answers != answers.gather(-1, last))
    later = steps > (steps * differs).amax(-1, keepdim=True)  # than all that differ
    return (mask & later).long().argmax(-1) + 1


@common_style
def plot_decisions(
    images: Tensor,
    probabilities: Tensor,
    steps: Steps = "rows",
    targets: Tensor | None = None,
    names: Sequence[str] | None = None,
) -> Figure:
    """Draw images and, aligned with each, the probability of every class after each step.

    Dots mark the decisions, the most probable class after each step; the line marks where they settle.

    Args:
        images: Pixels `(N, Y, X)`, light on dark.
        probabilities: Probabilities of the classes after each step, `(N, T, K)`.
        steps: Whether steps are rows, from the top, or columns, from the left.
        targets: True classes, `(N,)`, if known; wrong decisions are then marked.
        names: Names of the images, shown above them with the probability of the last decision.
    """
    images, probabilities = shown(images), shown(probabilities)
    across, down = (2 * PANEL + 0.75, PANEL + 0.65) if steps == "rows" else (PANEL + 0.9, 2 * PANEL + 0.85)
    columns = min(PER_LINE if steps == "rows" else 2 * PER_LINE, len(images))
    lines = -(-len(images) // columns)
    width, height = max(across * columns + 0.15, 4.6), down * lines + 0.3
    narrow = width < NOTE
    height += 0.15 if narrow else 0
    figure = new_figure(width, height)
    short = shorten_all(names or [], NAME)
    for place, (image, chances) in enumerate(zip(images, probabilities, strict=True)):
        line, column = divmod(place, columns)
        left, top = 0.5 + across * column, 0.35 + down * line
        target = None if targets is None else int(targets[place])
        second = (left + PANEL + 0.08, top) if steps == "rows" else (left, top + PANEL + 0.08)
        places = [
            (x / width, 1 - (y + PANEL) / height, PANEL / width, PANEL / height) for x, y in ((left, top), second)
        ]
        name = "" if names is None else f"{short[names[place]]}\n"
        _panel(figure.add_axes(places[0]), figure.add_axes(places[1]), image, chances, steps, target, name)
    notes = [
        "probability of each class after each step, from dark (0) to bright (1)",
        "dot: decision · line: it settles",
    ]
    figure.text(
        0.5, 0.06 / height, ("\n" if narrow else " · ").join(notes), ha="center", va="bottom", fontsize=8, color=INK
    )
    return figure


def _panel(
    of_image: Axes,
    of_classes: Axes,
    image: Tensor,
    probabilities: Tensor,
    steps: Steps,
    target: int | None,
    name: str,
) -> None:
    """Draw one image and its probabilities `(T, K)`."""
    length, classes = probabilities.shape
    answers = probabilities.argmax(-1)
    settled = int(settled_at(answers))
    draw(of_image, black_on_white(image), cmap="gray", vmin=0, vmax=1)
    values = probabilities if steps == "rows" else probabilities.T
    draw(of_classes, values.numpy(), cmap=POSITIVE, vmin=0, vmax=1)
    time, where = np.arange(length), answers.numpy()
    points = (where, time) if steps == "rows" else (time, where)
    of_classes.plot(*points, linestyle="none", marker="o", markersize=2.4, color="white", markeredgecolor=INK, mew=0.4)
    for axes in (of_image, of_classes):
        line = axes.axhline if steps == "rows" else axes.axvline
        line(settled - 1.5, color=SETTLED, linewidth=1.6, linestyle="--")
    if steps == "rows":
        number_steps(of_image, length, steps)
        of_classes.set_xticks(np.arange(classes))
        of_classes.set_xlabel("class", fontsize=7, labelpad=1)
    else:
        number_steps(of_classes, length, steps)
        of_classes.set_yticks(np.arange(classes))
        of_classes.set_ylabel("class", fontsize=7, labelpad=1)
    of_classes.tick_params(length=2, labelsize=7, pad=1.5)
    decided = int(answers[-1])
    wrong = target is not None and decided != target
    title = f"✗ {decided}, true {target}" if wrong else f"{decided}"
    chance = f" ({probabilities[-1].max():.2f})" if name else ""
    text, colour = f"{name}{title}{chance}: settled at step {settled}", WRONG if wrong else INK
    of_image.set_title(drawable(text), fontsize=8, loc="left", color=colour, **of_users())


def draw(axes: Axes, values: np.ndarray, **scale: Any) -> AxesImage:
    """Draw a heat map without ticks."""
    axes.set_xticks([])
    axes.set_yticks([])
    return axes.imshow(values, aspect="auto", interpolation="nearest", **scale)


def number_steps(axes: Axes, length: int, steps: Steps) -> None:
    """Number the steps along a heat map: on its left for rows, below it for columns."""
    numbers = np.array(shown_steps(length, most=7))
    axis = axes.yaxis if steps == "rows" else axes.xaxis
    axis.set_ticks(numbers - 1, labels=[str(step) for step in numbers])
    axis.set_label_text("step", fontsize=7)
    axes.tick_params(length=2, labelsize=7, pad=1.5)


def have_one_label(targets: Tensor, mask: Tensor | None = None) -> bool:
    """Whether all steps of each sequence have the same target, so that a decision can settle."""
    invalid = torch.zeros_like(targets, dtype=torch.bool) if mask is None else ~mask
    most, least = (targets.masked_fill(invalid, fill) for fill in (int(targets.min()), int(targets.max())))
    return bool((most.amax(1) <= least.amin(1)).all())


@common_style
def plot_settling(answers: Tensor, targets: Tensor, mask: Tensor | None = None) -> Figure:
    """Draw the share of sequences classified correctly after each step, and the share whose decision has settled.

    Args:
        answers: Decisions after each step, `(B, T)`.
        targets: True classes, `(B, T)`.
        mask: `(B, T)`, True where a step exists; None for all.
    """
    right = 100 * mean_by_step(shown(answers == targets), mask)
    length = answers.shape[1]
    begun = slice(None) if mask is None else mask.any(-1).cpu()
    settled = settled_at(answers, mask).cpu()[begun]  # of sequences that have steps
    share = [100 * float((settled <= step).float().mean()) for step in range(1, length + 1)]
    figure = new_figure(5.6, 3.2)
    axes = plain(figure.add_axes((0.11, 0.15, 0.86, 0.74), xlabel="step t", ylabel="sequences, %", ylim=(0, 102)))
    time = np.arange(1, length + 1)
    axes.plot(time, right.numpy(), color=INK, label="decision is right", **dots(length, 3))
    axes.plot(time, share, color=SETTLED, label="decision has settled, for good", **dots(length, 3, "s"))
    axes.axvline(float(settled.float().median()), color=GIVEN, linestyle=":", label="median of settling")
    axes.set(xlim=(0.5, length + 0.5), xticks=shown_steps(length))
    axes.legend(loc="lower center", bbox_to_anchor=(0.47, 1.0), ncols=3, frameon=False, fontsize=8, columnspacing=1)
    return figure
