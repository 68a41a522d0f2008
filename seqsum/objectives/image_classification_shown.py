"""What is shown of single images that were classified: those misread, and what convolutions look for and find."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from seqsum.data.labelled_images import LabelledImages
from seqsum.figures.classified import plot_classified
from seqsum.figures.page import Section, Table
from seqsum.figures.style import write_chance
from seqsum.objectives import captions
from seqsum.objectives.convolutions import describe_convolutions
from seqsum.objectives.evaluation import Evaluation, Logits, Look, Prediction, Probabilities, Shown
from seqsum.objectives.mistakes import rows_of, surest_mistakes

MISREAD = 21  # most images that are drawn


def draw_images(evaluation: Evaluation, logits: Logits, names: Sequence[str] | None) -> dict[str, Figure]:
    """Draw `misread`, if there are any, and of each convolution `filters_NAME` and `feature_maps_NAME`."""
    misread = _misread(evaluation, logits)
    figures = {} if misread is None else {"misread": misread}
    sections = describe_convolutions(evaluation, names)
    return figures | {section.name: section.figure for section in sections if section.figure is not None}


def report_images(evaluation: Evaluation, look: Look, logits: Logits, names: Sequence[str] | None) -> list[Section]:
    """Make the page of a test: misread images, which classes are mistaken for which, and convolutions."""
    misread = _misread(evaluation, logits)
    title, _ = captions.FIGURES["misread"]
    sections = [Section(title, "There is no mistake.") if misread is None else captions.section("misread", misread)]
    sections += _mistaken(evaluation, logits)
    return sections if look.convolutions is not None else sections + describe_convolutions(evaluation, names)


def show_images(prediction: Prediction, probabilities: Probabilities) -> Shown | None:
    """Show the answers to a user's images, and how sure the network is; None for other data."""
    data = prediction.data
    if not isinstance(data, LabelledImages):
        return None
    inputs = torch.cat([batch.inputs for batch in prediction.batches])
    with torch.no_grad():
        outputs = torch.cat([prediction.network(batch) for batch in prediction.batches])
    chances = probabilities(outputs)[:, -1].cpu()  # (N, K)
    names = data.class_names()
    sources = data.own.names_of_first(len(chances))
    figure = plot_classified(data.as_images(inputs), chances, names, sources=sources)
    rows = [(source, *_two_likeliest(of_image, names)) for source, of_image in zip(sources, chances, strict=True)]
    table = Table(("image", "answer", "probability", "or else", "probability"), rows)
    page = captions.section("own_images", figure)._replace(table=table)
    return Shown(tables=[table], figures={"own_images": figure}, page=[page, *captions.skipped(data.own)])


def _two_likeliest(chances: Tensor, names: Sequence[str]) -> tuple[str, str, str, str]:
    first, second = chances.topk(2).indices.tolist()
    return names[first], write_chance(float(chances[first])), names[second], write_chance(float(chances[second]))


def _misread(evaluation: Evaluation, logits: Logits) -> Figure | None:
    """Draw the mistakes that the network was surest of; None if there are none or their images are not known."""
    data, rows = evaluation.data, rows_of(evaluation)
    wrong = surest_mistakes(evaluation, logits)
    if not isinstance(data, LabelledImages) or rows is None or len(wrong) == 0:
        return None
    outputs, targets, _ = evaluation.join()
    few = wrong[:MISREAD]
    chances = logits(outputs[few.to(outputs.device), -1]).float().softmax(-1)
    note = f"{len(few)} of {len(wrong):,} mistakes among {len(targets):,} images: those that the network was surest of"
    labels = targets[few.to(targets.device), -1]
    return plot_classified(data.images_of(evaluation.split, rows[few]), chances, data.class_names(), labels, note=note)


def _mistaken(evaluation: Evaluation, logits: Logits) -> list[Section]:
    """Make a table of the most frequent mistakes; nothing if there are none."""
    data = evaluation.data
    wrong = surest_mistakes(evaluation, logits)
    if not isinstance(data, LabelledImages) or len(wrong) == 0:
        return []
    outputs, targets, _ = evaluation.join()
    answers, labels = logits(outputs)[:, -1].argmax(-1).cpu(), targets[:, -1].cpu()
    pairs, counts = torch.stack([labels[wrong], answers[wrong]], dim=1).unique(dim=0, return_counts=True)
    names = data.class_names()
    rows = [
        (names[int(pairs[place, 0])], names[int(pairs[place, 1])], str(int(counts[place])))
        for place in counts.argsort(descending=True, stable=True)[:10].tolist()
    ]
    title, text = captions.FIGURES["mistaken"]
    return [Section(title, text, table=Table(("is", "read as", "images"), rows))]
