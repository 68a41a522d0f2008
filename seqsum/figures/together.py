"""All figures of one evaluation, as TensorBoard shows them after an epoch."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from matplotlib.figure import Figure
from torch import Tensor

from seqsum.data.sums import Operation
from seqsum.figures.errors import plot_confusion, plot_errors, plot_predictions
from seqsum.figures.states import order_units, plot_gates, plot_number_line
from seqsum.figures.style import shown
from seqsum.figures.sums import beside, plot_sums

LINES, STEPS = 3, 12  # most lines of digits, and steps of a sequence; more would be too small to see
DOTS = 1_000  # most states on the number line


def plot_all(
    images: Tensor,
    recorded: Mapping[str, Tensor],
    predictions: Tensor,
    targets: Tensor,
    operation: Operation,
    mask: Tensor | None = None,
) -> dict[str, Figure]:
    """Draw all figures of running sums: `sums`, `errors`, `predictions`, `confusion`, `gates_l0`, …, `number_line`.

    Args:
        images: Grey digits `(N, T, 28, 28)` of the first sequences.
        recorded: Gates and states for these sequences, `(N, T, H)` each, named as by `seqsum.trace`, and the
            `outputs` of the recurrence. Without gates, as for torch's own layers, there is no figure of gates, and
            the number line is drawn from the outputs. If empty, there is neither.
        predictions: Running sums of all sequences, not rounded, `(B, T)`.
        targets: True running sums of all sequences, `(B, T)`.
        operation: Signs of the steps.
        mask: `(B, T)`, True where a step exists; None for all.
    """
    predictions, targets = shown(predictions), shown(targets)
    mask = None if mask is None else mask.cpu()
    digits, sums, truth = first_sequences(images, predictions, targets, mask)
    figures = {
        "sums": plot_sums(digits, sums, operation, truth, longest=images.shape[1]),
        "errors": plot_errors(predictions, targets, mask),
        "predictions": plot_predictions(predictions, targets, mask),
        "confusion": plot_confusion(predictions, targets, operation, mask),
    }
    layers, (count, steps) = by_layer(recorded), images.shape[:2]
    of_images = None if mask is None else mask[:count, :steps]
    for layer, parts in layers.items():
        order = order_units(list(parts.values())[-1], targets[:count, :steps], of_images)
        gates = {name: values[0, :STEPS] for name, values in parts.items()}
        figures[f"gates_{layer}"] = plot_gates(gates, images[0, :STEPS], operation, order)
    if recorded:
        whole = torch.ones(count, dtype=torch.bool) if of_images is None else of_images.all(dim=1)
        few = whole.nonzero().squeeze(1)[: max(1, DOTS // steps)]  # a path without masked steps
        if len(few) > 0:
            states = last_states(layers, recorded["outputs"]).cpu()
            figures["number_line"] = plot_number_line(states[few], targets[few, :steps], operation)
    return figures


def first_sequences(
    images: Tensor, predictions: Tensor, targets: Tensor, mask: Tensor | None, lines: int = LINES
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Select images, predicted and true sums of existing steps, for as many sequences as fit into `lines`.

    Args:
        images: `(N, T, 28, 28)`.
        predictions, targets: `(B, T)`; their first rows belong to the images.
        mask: `(B, T)`, True where a step exists; None for all.
        lines: Number of lines of digits.
    """
    sequences: tuple[list[Tensor], list[Tensor], list[Tensor]] = ([], [], [])
    for row in range(min(len(images), lines * beside(images.shape[1]))):
        valid = slice(None) if mask is None else mask[row, : images.shape[1]]
        for found, tensor in zip(sequences, (images, predictions, targets), strict=True):
            found.append(tensor[row, : images.shape[1]][valid][:STEPS])
    return sequences


def by_layer(recorded: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Group what `seqsum.trace` recorded by layer and direction, `l0`, `l0_reverse`, …, then by name."""
    layers: dict[str, dict[str, Tensor]] = {}
    for name, tensor in recorded.items():
        if found := re.fullmatch(r"(?:.*\.)?(.+)_(l\d+(?:_reverse)?)", name):
            layers.setdefault(found[2], {})[found[1]] = tensor
    return layers


def last_layer(layers: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return what was recorded of the last layer, by name, `(B, T, D·H)` with the directions side by side.

    Args:
        layers: Recorded gates and states, see `by_layer`.
    """
    *_, last = ("", *layers)
    directions = [parts for suffix, parts in layers.items() if suffix in (last, last.removesuffix("_reverse"))]
    names = directions[0] if directions else ()
    return {name: torch.cat([parts[name] for parts in directions], dim=-1) for name in names}


def last_states(layers: Mapping[str, Mapping[str, Tensor]], outputs: Tensor) -> Tensor:
    """Return the hidden state of the last layer, `(B, T, D·H)`; the recurrence's outputs if none was recorded.

    Args:
        layers: Recorded gates and states, see `by_layer`.
        outputs: Outputs of the recurrence, `(B, T, D·H)`; for torch's own layers these are the hidden state.
    """
    return last_layer(layers).get("hidden", outputs)
