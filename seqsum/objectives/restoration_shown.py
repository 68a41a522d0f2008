"""What is shown of restored images: what the network read, what it made of it, and the image as it was."""

from __future__ import annotations

from collections.abc import Callable

import torch
from matplotlib.figure import Figure
from torch import Tensor

from seqsum.data.base import Batch
from seqsum.data.labelled_images import LabelledImages
from seqsum.figures.page import Table
from seqsum.figures.restored import plot_restored
from seqsum.objectives import captions
from seqsum.objectives.evaluation import Evaluation, Prediction, Shown
from seqsum.objectives.masks import scored_steps

IMAGES = 12  # drawn; more would be too small to see
Answers = Callable[[Tensor, Batch], Tensor]  # an objective's, from outputs (B, S, 1) to pixels (B, S)


def draw_restored(evaluation: Evaluation, answers: Answers) -> dict[str, Figure]:
    """Draw `restored`: the first images of an evaluation; nothing for data that are no images."""
    data, first = evaluation.data, evaluation.first.map(lambda tensor: tensor[:IMAGES])
    if not isinstance(data, LabelledImages):
        return {}
    pixels = answers(evaluation.outputs[0][:IMAGES].to(first.targets.device), first)
    return {"restored": _draw(data, first, pixels)}


def show_restored(prediction: Prediction) -> Shown | None:
    """Show a user's images, damaged, restored and whole, and the error of each; None for other data."""
    data = prediction.data
    if not isinstance(data, LabelledImages):
        return None
    inputs, targets = (torch.cat([batch[part] for batch in prediction.batches]) for part in (0, 1))
    pixels = torch.cat([*prediction.answers])
    sources = data.own.names_of_first(len(pixels))
    pairs = zip(prediction.answers, prediction.batches, strict=True)
    errors = torch.cat([_squared_errors(answers, batch) for answers, batch in pairs]).tolist()
    rows = [(source, f"{error:.4f}") for source, error in zip(sources, errors, strict=True)]
    table = Table(("image", "mean squared error"), rows)
    figures = {}
    for start in range(0, len(pixels), IMAGES):
        few = slice(start, start + IMAGES)
        number = f"_{start // IMAGES + 1}" if len(pixels) > IMAGES else ""
        figures[f"own_restored{number}"] = _draw(data, Batch(inputs[few], targets[few]), pixels[few])
    page = captions.sections(figures)
    page[0] = page[0]._replace(table=table)
    return Shown(tables=[table], figures=figures, page=[*page, *captions.skipped(data.own)])


def _squared_errors(pixels: Tensor, batch: Batch) -> Tensor:
    """Compute the mean squared error of each image `(B,)`, over the pixels that a test scores."""
    scored = scored_steps(batch.targets, batch.scored)
    return ((pixels - batch.targets).square() * scored).sum(dim=1) / scored.sum(dim=1)


def _draw(data: LabelledImages, batch: Batch, pixels: Tensor) -> Figure:
    given = data.as_images(batch.inputs)  # (N, C, Y, X)
    whole, restored = batch.targets.view_as(given), pixels.view_as(given)
    same = torch.allclose(given, whole, atol=1e-4)
    rows = {"read": given, "restored": restored} | ({} if same else {"true": whole})
    return plot_restored(rows)
