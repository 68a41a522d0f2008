"""All figures of one evaluation at once, as TensorBoard shows them after an epoch."""

from __future__ import annotations

import re
from collections.abc import Mapping

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
    images: Tensor, recorded: Mapping[str, Tensor], predictions: Tensor, targets: Tensor, operation: Operation
) -> dict[str, Figure]:
    """Every figure of this room, by name: `sums`, `errors`, `predictions`, `confusion`, `gates_l0`, …, `number_line`.

    Args:
        images: Grey digits `(N, T, 28, 28)` of the first sequences.
        recorded: What the recurrence did with these, `(N, T, H)` each: gates and states as `seqsum.trace` calls
            them, and `outputs`. Without gates, as of torch's own layers, there is no figure of them, and the
            number line is that of the outputs, which are torch's hidden state.
        predictions: Running sums of all sequences, not rounded, `(B, T)`.
        targets: True running sums of all sequences, `(B, T)`.
        operation: What the signs are.
    """
    predictions, targets = shown(predictions), shown(targets)
    few = slice(LINES * beside(targets.shape[1])), slice(STEPS)
    digits = images[few]
    figures = {
        "sums": plot_sums(list(digits), list(predictions[few]), operation, list(targets[few])),
        "errors": plot_errors(predictions, targets),
        "predictions": plot_predictions(predictions, targets),
        "confusion": plot_confusion(predictions, targets, operation),
    }
    layers = by_layer(recorded)
    for layer, parts in layers.items():
        order = order_units(list(parts.values())[-1], targets[: len(images)])
        gates = {name: values[0, :STEPS] for name, values in parts.items()}
        figures[f"gates_{layer}"] = plot_gates(gates, digits[0], operation, order)
    states = last_states(layers, recorded["outputs"])
    rows = min(len(images), max(1, DOTS // targets.shape[1]))
    figures["number_line"] = plot_number_line(states[:rows], targets[:rows], operation)
    return figures


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
