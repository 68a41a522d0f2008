"""Figures of classification: decisions after each step, when they settle, and what the layers do meanwhile."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure
from torch import Tensor

from seqsum.data import DigitRows
from seqsum.data.base import Batch
from seqsum.figures import by_layer, have_one_label, plot_decisions, plot_over_time, plot_settling, settled_at
from seqsum.figures.page import Table
from seqsum.figures.style import write_chance
from seqsum.objectives import captions
from seqsum.objectives.evaluation import Evaluation, Prediction, Probabilities, Shown
from seqsum.objectives.reading import trace_batch

IMAGES = {"val": 4, "test": 8}  # images drawn; more would be too small to see


def draw_decisions(evaluation: Evaluation, probabilities: Probabilities) -> dict[str, Figure]:
    """Draw the figures of an evaluation.

    They are `settling` if each sequence has one label and several steps to decide at; and for images `decisions`, and
    `states_l0`, … of the first.
    """
    outputs, targets, mask = evaluation.join()
    figures: dict[str, Figure] = {}
    if targets.shape[1] > 1 and have_one_label(targets, mask):
        figures["settling"] = plot_settling(outputs.argmax(-1), targets, mask)
    data, first = evaluation.data, evaluation.first
    if isinstance(data, DigitRows):
        few = slice(min(IMAGES[evaluation.split], len(first.inputs)))  # of the first batch, whose inputs are kept
        chances, images = probabilities(outputs[few]), data.as_images(first.inputs[few])
        figures["decisions"] = plot_decisions(images, chances, data.steps, targets[few, -1])
        layers = by_layer(evaluation.recorded) or trace_batch(evaluation.network, first.map(lambda tensor: tensor[:1]))
        for layer, parts in layers.items():
            figures[f"states_{layer}"] = _states(images[0], chances[0], parts, 0, data)
    return figures


def show_decisions(prediction: Prediction, probabilities: Probabilities) -> Shown | None:
    """Show the decision after each step and its probability for a user's images; None for other data."""
    data = prediction.data
    if not isinstance(data, DigitRows):
        return None
    batch = Batch(*(torch.cat([getattr(b, name) for b in prediction.batches]) for name in ("inputs", "targets")))
    with torch.no_grad():
        chances = probabilities(prediction.network(batch)).cpu()  # (N, T, K)
    names = data.own.names_of_first(len(chances))
    images = data.as_images(batch.inputs)
    figures = {"decisions": plot_decisions(images, chances, data.steps, names=names)}
    layers = trace_batch(prediction.network, batch)
    for row in range(len(images)):
        number = f"_{row + 1}" if len(images) > 1 else ""
        for layer, parts in layers.items():
            figures[f"states{number}_{layer}"] = _states(images[row], chances[row], parts, row, data)
    tables = [_steps(name, of_image) for name, of_image in zip(names, chances, strict=True)]
    page = captions.sections(figures)
    readings = Table(("image", "decision", "probability"), [_last(*each) for each in zip(names, chances, strict=True)])
    page[0] = page[0]._replace(table=readings)
    return Shown(tables=tables, figures=figures, page=[*page, *captions.skipped(data.own)])


def _states(image: Tensor, chances: Tensor, parts: dict[str, Tensor], row: int, data: DigitRows) -> Figure:
    """Draw a layer while it reads one image, which is one `row` of the parts `(B, T, H)`."""
    return plot_over_time(image, {name: values[row] for name, values in parts.items()}, data.steps, chances)


def _last(name: str, chances: Tensor) -> tuple[str, str, str]:
    return name, str(int(chances[-1].argmax())), write_chance(float(chances[-1].max()))


def _steps(name: str, chances: Tensor) -> Table:
    """Make a table of the decision after each step from probabilities `(T, K)`, and mark where it settles."""
    settled = int(settled_at(chances.argmax(-1)))
    _, decision, probability = _last(name, chances)
    rows = []
    for step, of_step in enumerate(chances, start=1):
        mark = "  settled" if step == settled else ""
        rows.append((str(step), str(int(of_step.argmax())), f"{write_chance(float(of_step.max()))}{mark}"))
    return Table(("step", "decision", "probability"), rows, f"{name}: {decision}, probability {probability}")
