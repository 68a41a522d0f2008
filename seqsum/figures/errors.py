"""Errors of running sums: by step, by true sum, and by digit."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from torch import Tensor

from seqsum.data.sums import Operation, read_digits
from seqsum.figures.style import (
    CARD,
    FONT,
    GIVEN,
    INK,
    WRONG,
    common_style,
    dots,
    few_ticks,
    mean_by_step,
    new_figure,
    plain,
    shown,
    shown_steps,
)

LABELS = 40  # most frequent mistakes that are labelled; each label takes a millisecond to draw
MISTAKES = LinearSegmentedColormap.from_list("mistakes", ["white", WRONG])


@common_style
def plot_errors(predictions: Tensor, targets: Tensor, mask: Tensor | None = None) -> Figure:
    """Draw how errors grow along the sequence: the mean absolute error and the share of wrong sums.

    Args:
        predictions: Running sums, not rounded, `(B, T)`.
        targets: True running sums, `(B, T)`.
        mask: `(B, T)`, True where a step exists; None for all.
    """
    predictions, targets = shown(predictions), shown(targets)
    length = predictions.shape[1]
    columns = {
        "mean absolute error": mean_by_step((predictions - targets).abs(), mask),
        "wrong sums, %": 100 * mean_by_step((predictions.round() != targets).float(), mask),
    }
    figure = new_figure(*CARD, layout="constrained")
    for axes, (title, values) in zip(figure.subplots(1, 2), columns.items(), strict=True):
        plain(axes)
        axes.plot(range(1, length + 1), values.numpy(), color=INK, clip_on=False, **dots(length, 5))
        axes.set(xlim=(0.6, length + 0.4), xticks=shown_steps(length, most=8))
        axes.set_xlabel("step t", fontsize=FONT)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(few_ticks())
        axes.set_title(title, fontsize=FONT)
    return figure


@common_style
def plot_predictions(predictions: Tensor, targets: Tensor, mask: Tensor | None = None) -> Figure:
    """Draw predicted against true running sums of all steps; sums in the grey band round to the true sum.

    Args:
        predictions: Running sums, not rounded, `(B, T)`.
        targets: True running sums, `(B, T)`.
        mask: `(B, T)`, True where a step exists; None for all.
    """
    predictions, targets = (_valid(shown(sums), mask) for sums in (predictions, targets))  # (N,) each
    wrong = predictions.round() != targets
    figure = new_figure(*CARD, layout="constrained")
    axes = plain(figure.subplots())
    axes.set_xlabel("true running sum", fontsize=FONT)
    axes.set_ylabel("predicted running sum", fontsize=FONT)
    ends = np.array([float(targets.min()) - 1, float(targets.max()) + 1])
    axes.fill_between(ends, ends - 0.5, ends + 0.5, color=GIVEN, alpha=0.4, linewidth=0)
    for chosen, marker, size, colour in ((~wrong, "o", 2, INK), (wrong, "x", 5, WRONG)):
        pairs = targets[chosen].numpy(), predictions[chosen].numpy()
        axes.plot(*pairs, linestyle="none", marker=marker, markersize=size, color=colour)
    axes.xaxis.set_major_locator(few_ticks())
    axes.yaxis.set_major_locator(few_ticks())
    axes.set_title(f"{int(wrong.sum()):,} of {len(wrong):,} sums wrong (×)", fontsize=FONT, color=WRONG)
    return figure


def _valid(values: Tensor, mask: Tensor | None) -> Tensor:
    """Select the values `(B, T)` of existing steps, `(N,)`."""
    return values.flatten() if mask is None else values[mask.cpu()]


@common_style
def plot_confusion(predictions: Tensor, targets: Tensor, operation: Operation, mask: Tensor | None = None) -> Figure:
    """Draw the confusion matrix of digits: what each step added to the sum, against the true digit.

    Args:
        predictions: Running sums, not rounded, `(B, T)`.
        targets: True running sums, `(B, T)`.
        operation: Signs of the steps.
        mask: `(B, T)`, True where a step exists; None for all.
    """
    counts = count_readings(predictions, targets, operation, mask)
    share = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    np.fill_diagonal(share, 0)
    figure = new_figure(*CARD)
    axes = figure.add_axes((0.1, 0.18, 0.88, 0.72))
    axes.tick_params(labelsize=FONT, length=2)
    axes.set_xlabel("digit read: what the step added", fontsize=FONT)
    axes.set_ylabel("true digit", fontsize=FONT)
    axes.imshow(share, cmap=MISTAKES, vmin=0, vmax=max(0.01, share.max()), aspect="auto")
    wrong = f"{LABELS} most frequent mistakes" if np.count_nonzero(share) > LABELS else "mistakes"
    axes.set_title(f"digits read: right (grey), {wrong} (bold)", fontsize=FONT)
    axes.set_xticks(range(11), [*map(str, range(10)), "other"])
    axes.set_yticks(range(10))
    enough = np.sort(share, axis=None)[-LABELS]
    for true, read in np.argwhere(counts).tolist():
        if true != read and share[true, read] < enough:
            continue
        style: dict[str, Any] = {"color": GIVEN} if true == read else {"color": INK, "fontweight": "bold"}
        axes.text(read, true, f"{counts[true, read]}", ha="center", va="center", fontsize=8, **style)
    return figure


def count_readings(
    predictions: Tensor, targets: Tensor, operation: Operation, mask: Tensor | None = None
) -> np.ndarray:
    """Count how often each digit was read as each digit, `(10, 11)`; the last column counts readings of no digit.

    Raises:
        ValueError: The targets are not sums of digits under this operation.
    """
    mask = None if mask is None else mask.cpu()
    read, true = (_valid(read_digits(shown(sums), operation, mask), mask).long() for sums in (predictions, targets))
    if true.min() < 0 or true.max() > 9:
        wrong = int(true[(true < 0) | (true > 9)][0])
        raise ValueError(f"`targets` must be sums of digits by `operation` (={operation!r}), but a step adds {wrong}")
    read = torch.where((read >= 0) & (read <= 9), read, torch.full_like(read, 10))
    return torch.bincount(11 * true + read, minlength=110).view(10, 11).numpy()
