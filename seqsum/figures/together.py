"""All figures of one evaluation at once, as TensorBoard shows them after an epoch."""

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

LINES, STEPS = 3, 12  # of digits that are shown: of more, each would be too small to see
DOTS = 1_000  # states in the picture of the number line


def plot_all(
    images: Tensor,
    recorded: Mapping[str, Tensor],
    predictions: Tensor,
    targets: Tensor,
    operation: Operation,
    mask: Tensor | None = None,
) -> dict[str, Figure]:
    """Every figure of running sums, by name: `sums`, `errors`, `predictions`, `confusion`, `gates_l0`, `number_line`.

    Args:
        images: Grey digits `(N, T, 28, 28)` of the first sequences.
        recorded: What the recurrence did with these, `(N, T, H)` each: gates and states as `seqsum.trace` calls
            them, and `outputs`. Without gates, as of torch's own layers, there is no figure of them, and the
            number line is that of the outputs, which are torch's hidden state. Of an empty one there is neither.
        predictions: Running sums of all sequences, not rounded, `(B, T)`.
        targets: True running sums of all sequences, `(B, T)`.
        operation: What the signs are.
        mask: `(B, T)`, True where a step exists; None for all.
    """
    predictions, targets = shown(predictions), shown(targets)
    mask = None if mask is None else mask.cpu()
    digits, sums, truth = first_sequences(images, predictions, targets, mask)
    figures = {
        "sums": plot_sums(digits, sums, operation, truth),
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
        few = whole.nonzero().squeeze(1)[: max(1, DOTS // steps)]  # a path has no holes
        if len(few) > 0:
            states = last_states(layers, recorded["outputs"]).cpu()
            figures["number_line"] = plot_number_line(states[few], targets[few, :steps], operation)
    return figures


def first_sequences(
    images: Tensor, predictions: Tensor, targets: Tensor, mask: Tensor | None, lines: int = LINES
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Images, predicted and true sums of the first sequences, as many as fit into so many lines: the steps that exist.

    Args:
        images: `(N, T, 28, 28)`.
        predictions, targets: `(B, T)`, of these sequences and maybe of others after them.
        mask: `(B, T)`, True where a step exists; None for all.
        lines: How many.
    """
    sequences: tuple[list[Tensor], list[Tensor], list[Tensor]] = ([], [], [])
    for row in range(min(len(images), lines * beside(images.shape[1]))):
        valid = slice(None) if mask is None else mask[row, : images.shape[1]]
        for found, tensor in zip(sequences, (images, predictions, targets), strict=True):
            found.append(tensor[row, : images.shape[1]][valid][:STEPS])
    return sequences


def by_layer(recorded: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """What `seqsum.trace` recorded by layer and direction, `l0`, `l0_reverse`, …, and then by name."""
    layers: dict[str, dict[str, Tensor]] = {}
    for name, tensor in recorded.items():
        if found := re.fullmatch(r"(?:.*\.)?(.+)_(l\d+(?:_reverse)?)", name):
            layers.setdefault(found[2], {})[found[1]] = tensor
    return layers


def last_states(layers: Mapping[str, Mapping[str, Tensor]], outputs: Tensor) -> Tensor:
    """The hidden state of the uppermost layer `(B, T, H)`; what the recurrence gives out where none is recorded.

    Args:
        layers: What was recorded, see `by_layer`.
        outputs: Of the recurrence, `(B, T, H)`. Those of torch's own layers are their hidden state.
    """
    hidden = [parts["hidden"] for parts in layers.values() if "hidden" in parts]
    return hidden[-1] if hidden else outputs
