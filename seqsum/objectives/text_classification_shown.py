"""What is shown of classified texts: words in colour, accuracy against length, and the surest mistakes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure
from rich.text import Text
from torch import Tensor, nn

from seqsum.data.text.labelled import LabelledTexts
from seqsum.data.text.own import OwnText
from seqsum.figures.accuracy_by_length import plot_accuracy_by_length
from seqsum.figures.mistakes import Mistake, plot_mistakes
from seqsum.figures.page import Section, Table
from seqsum.figures.style import write_chance
from seqsum.figures.texts import limit_of, make_legend, make_words_html, make_words_text, write_change
from seqsum.objectives import captions
from seqsum.objectives.evaluation import Evaluation, Logits, Look, Prediction, Shown
from seqsum.objectives.evidence import LONGEST, Verdict, can_be_asked, judge, name_of
from seqsum.objectives.mistakes import rows_of, surest_mistakes

MISTAKES = 8  # listed
COLOURED = 12  # most of a user's texts whose words are coloured
PRINTED = 3  # most of them that are also printed
NAMELESS = "Which texts they are is not known here: several processes share the split."
PADDED = "Each text was read alone here; in the test, this network also read the padding behind it."


def draw_texts(evaluation: Evaluation, logits: Logits) -> dict[str, Figure]:
    """Draw the figures of an evaluation: `accuracy_by_length`; for a test also `surest_mistakes`, if there are any."""
    figures = {"accuracy_by_length": _draw_by_length(evaluation, logits)}
    mistakes = _mistakes(evaluation, logits) if evaluation.split == "test" else []
    if mistakes:
        figures["surest_mistakes"] = plot_mistakes(mistakes, "" if mistakes[0].name else NAMELESS)
    return figures


def report_texts(evaluation: Evaluation, look: Look, logits: Logits) -> list[Section]:
    """Make the page of a test: accuracy against length, the surest mistakes, and texts with their words in colour."""
    title, text = captions.FIGURES["surest_mistakes"]
    mistakes = _mistakes(evaluation, logits)
    head = ("text", "label", "answer", "beginning and end")
    rows = [(m.name or "?", m.label, f"{m.answer} {m.chance}", m.summary) for m in mistakes]
    remark = "" if not mistakes or mistakes[0].name else f" {NAMELESS}"
    sections = [
        captions.section("accuracy_by_length", _draw_by_length(evaluation, logits)),
        Section(title, text + remark, table=Table(head, rows)) if rows else Section(title, "There is no mistake."),
    ]
    return sections + _word_by_word(evaluation, look.sequences, logits)


def _word_by_word(evaluation: Evaluation, count: int, logits: Logits) -> list[Section]:
    """Show the words of the surest mistakes and of the first texts; nothing where texts are not known."""
    data, rows = evaluation.data, rows_of(evaluation)
    if not isinstance(data, LabelledTexts) or rows is None:
        return []
    targets, device = evaluation.join().targets, evaluation.first.inputs.device

    def read(places: Tensor) -> list[Verdict]:
        texts = [data.text_of(evaluation.split, row) for row in rows[places].tolist()]
        labels = [name_of(data, label) for label in targets[places, -1].tolist()]
        verdicts = (judge(evaluation.network, data, text, device, logits) for text in texts)
        return [verdict._replace(label=label) for verdict, label in zip(verdicts, labels, strict=True)]

    mistakes = read(surest_mistakes(evaluation, logits)[:count])
    others = read(torch.arange(min(len(evaluation.outputs[0]), count)))
    remark = f"{captions.WORDS} {PADDED if evaluation.first.mask is None else ''}".strip()
    sections = [_in_colour("Mistakes, word by word", mistakes, data, evaluation.network, remark)] if mistakes else []
    return [*sections, _in_colour("Other texts", others, data, evaluation.network, "" if sections else remark)]


def show_texts(prediction: Prediction, logits: Logits) -> Shown | None:
    """Show the answers to a user's texts, and what moved them; None for other data."""
    data, network = prediction.data, prediction.network
    if not isinstance(data, LabelledTexts):
        return None
    count = sum(len(batch.inputs) for batch in prediction.batches)  # a flag of the Trainer may limit the batches
    device = prediction.batches[0].inputs.device
    texts = data.own.texts[:count]
    verdicts = [judge(network, data, text, device, logits, place < COLOURED) for place, text in enumerate(texts)]
    rows = [(v.text.source, v.answer, write_chance(v.chance), data.part_read(v.text), _unknown(v)) for v in verdicts]
    table = Table(("text", "answer", "probability", "read", "unknown words"), rows)
    lines = [*_warnings(verdicts), *_not_coloured(verdicts, network)]
    coloured = [verdict for verdict in verdicts if verdict.read]
    title, text = captions.FIGURES["own_texts"]
    page = [Section(title, "\n".join([text, *lines]), table=table)]
    page += [_in_colour("What moved the answers", coloured, data, network)] if coloured else []
    if len(coloured) > PRINTED:
        lines.append(f"The words of {PRINTED} texts are shown here, those of {len(coloured)} on the page")
    return Shown(lines, [table], page=[*page, *captions.skipped(data.own)], texts=_printed(coloured[:PRINTED], data))


def _mistakes(evaluation: Evaluation, logits: Logits) -> list[Mistake]:
    outputs, targets, _ = evaluation.join()
    data, rows, mistakes = evaluation.data, rows_of(evaluation), []
    for place in surest_mistakes(evaluation, logits)[:MISTAKES].tolist():
        of_classes = logits(outputs)[place, -1].cpu().double()
        answer, label = int(of_classes.argmax()), int(targets[place, -1])
        chance = write_chance(float(of_classes.softmax(0)[answer]))
        if not isinstance(data, LabelledTexts):
            mistakes.append(Mistake("", str(label), str(answer), chance, ()))
            continue
        text = OwnText([], "") if rows is None else data.text_of(evaluation.split, int(rows[place]))
        mistakes.append(Mistake(text.source, name_of(data, label), name_of(data, answer), chance, text.words))
    return mistakes


def _draw_by_length(evaluation: Evaluation, logits: Logits) -> Figure:
    outputs, targets, _ = evaluation.join()
    right = logits(outputs)[:, -1].argmax(-1) == targets[:, -1]
    data, rows = evaluation.data, rows_of(evaluation)
    if not isinstance(data, LabelledTexts):
        return plot_accuracy_by_length(_steps(evaluation), right, "steps")
    return plot_accuracy_by_length(
        _steps(evaluation) if rows is None else data.lengths_read(evaluation.split)[rows], right
    )


def _steps(evaluation: Evaluation) -> Tensor:
    """Return the number of steps that the network read of each sequence, `(N,)`; inputs are `(0, T, …)`."""
    return torch.cat(
        [
            torch.full((len(outputs),), batch.inputs.shape[1]) if batch.mask is None else batch.mask.sum(1).cpu()
            for batch, outputs in zip(evaluation.batches, evaluation.outputs, strict=True)
        ]
    )


def _in_colour(
    title: str, verdicts: Sequence[Verdict], data: LabelledTexts, network: nn.Module, text: str = captions.WORDS
) -> Section:
    """Make a section of texts with their words in colour, and a legend for each pair of directions."""
    reads = [verdict.read for verdict in verdicts if verdict.read]
    if not reads:
        return Section(title, "\n".join(_not_coloured(verdicts, network)))
    limit = limit_of(reads)
    legends = {verdict.directions: make_legend(verdict.directions, limit) for verdict in verdicts if verdict.read}
    boxes = [
        make_words_html(verdict.read, verdict.directions, limit, verdict.text.source, _describe(verdict, data))
        for verdict in verdicts
        if verdict.read
    ]
    lines = [text, *_not_coloured(verdicts, network)]
    return Section(title, "\n".join(lines), html="\n".join([*legends.values(), *boxes]))


def _printed(verdicts: Sequence[Verdict], data: LabelledTexts) -> list[Text]:
    """Make what the terminal shows of texts."""
    limit = limit_of([verdict.read for verdict in verdicts if verdict.read])
    return [
        make_words_text(verdict.read, verdict.directions, limit, verdict.text.source, _describe(verdict, data))
        for verdict in verdicts
        if verdict.read
    ]


def _describe(verdict: Verdict, data: LabelledTexts) -> str:
    """Say what the network made of a text."""
    label = f" (label: {verdict.label})" if verdict.label else ""
    read = f"{verdict.answer}{label}, probability {write_chance(verdict.chance)}; read: {data.part_read(verdict.text)}"
    return f"{read}; padding, which it reads too: {write_change(verdict.padding)}" if verdict.padding else read


def _unknown(verdict: Verdict) -> str:
    return f"{verdict.known.count(False):,}"


def _warnings(verdicts: Sequence[Verdict]) -> list[str]:
    """Name the texts whose answers mean nothing."""
    return [
        f"Warning: {verdict.text.source}: the network knows none of its words, so this answer means nothing"
        for verdict in verdicts
        if not any(verdict.known)
    ]


def _not_coloured(verdicts: Sequence[Verdict], network: nn.Module) -> list[str]:
    """Say of which texts no words are coloured, and why."""
    if not can_be_asked(network):
        return [captions.NO_WORDS]
    plain = [verdict for verdict in verdicts if verdict.read is None]
    too_long = [verdict for verdict in plain if len(verdict.known) > LONGEST]
    lines = [
        f"{verdict.text.source}: its words are not coloured, since the network read more than {LONGEST:,} of them"
        for verdict in too_long
    ]
    if len(plain) > len(too_long):
        lines.append(f"Words are coloured in the first {COLOURED} of {len(verdicts):,} texts only")
    return lines
