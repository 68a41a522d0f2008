"""What is shown of translations: sentences beside their references, and what each written word attended to."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from seqsum.data.base import Batch
from seqsum.data.digits import Split
from seqsum.data.pairs.translated import TranslatedTexts
from seqsum.data.text import END
from seqsum.data.text.own import OwnText
from seqsum.data.text.sentences import until_end
from seqsum.figures.attention import Attended, plot_attention
from seqsum.figures.page import Section, Table
from seqsum.objectives import captions
from seqsum.objectives.bleu import own_rows, signature
from seqsum.objectives.evaluation import Evaluation, Look, Prediction, Shown

DRAWN = 2  # sentences of an evaluation whose attention is drawn
LISTED = 12  # sentences that TensorBoard shows
CPU = torch.device("cpu")
Write = Callable[[nn.Module, Batch], Tensor]  # an objective's `predict`


@runtime_checkable
class Attentive(Protocol):
    """A network that tells what it attends to."""

    def attention(self, batch: Batch) -> Tensor:
        """Return how much each step that writes a target attends to each source step, `(B, T, S)`."""


class Translated(NamedTuple):
    """A sentence and what a network wrote for it.

    Attributes:
        text: The sentence.
        written: Its translation.
        unknown: Words of the sentence that the network doesn't know.
        attended: What each written word attended to; None if the network doesn't tell.
    """

    text: OwnText
    written: str
    unknown: list[str]
    attended: Attended | None


def draw_translations(evaluation: Evaluation, write: Write) -> dict[str, Figure]:
    """Draw `attention_1`, `attention_2`: what the words of the first translations attended to, if the network tells."""
    return _figures("attention", _first(evaluation, DRAWN, write))


def write_texts(evaluation: Evaluation, write: Write) -> dict[str, str]:
    """Write `translations`: the first sentences, references and translations, as a table in Markdown."""
    data, first = evaluation.data, evaluation.first.map(lambda tensor: tensor[:LISTED])
    if not isinstance(data, TranslatedTexts):
        return {}
    pairs = [data.pair_of(evaluation.split, row) for row in own_rows(evaluation.first)[:LISTED]]
    written = [data.vocabularies.target.decode(tokens) for tokens in write(evaluation.network, first).tolist()]
    rows = [(pair.source, pair.target, sentence) for pair, sentence in zip(pairs, written, strict=True)]
    lines = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    return {"translations": "\n".join(["source | reference | translation", "---|---|---", *lines])}


def report_translations(evaluation: Evaluation, look: Look, write: Write) -> list[Section]:
    """Make the page of a test: sentences, references and translations, and attention; nothing for other data."""
    data = evaluation.data
    if not isinstance(data, TranslatedTexts):
        return []
    found = _first(evaluation, look.sequences, write)
    references = [data.pair_of(evaluation.split, row).target for row in own_rows(evaluation.first)]
    rows = [(each.text.source, reference, each.written) for each, reference in zip(found, references, strict=False)]
    title, text = captions.FIGURES["translations"]
    table = Table(("source", "reference", "translation"), rows)
    figures = _figures("attention", found)
    sections = [captions.section(name, figure) for name, figure in figures.items()]
    return [Section(title, f"{text} BLEU is computed by sacrebleu ({signature()}).", table=table), *sections]


def show_translations(prediction: Prediction) -> Shown | None:
    """Show the translations of a user's sentences, and what each word attended to; None for other data."""
    data, network = prediction.data, prediction.network
    if not isinstance(data, TranslatedTexts):
        return None
    answers = [tokens for of_batch in prediction.answers for tokens in of_batch]  # (L,) each
    texts = data.own.texts[: len(answers)]  # a flag of the Trainer may limit the batches
    device = prediction.batches[0].inputs.device
    found = [_translated(network, data, *each, device) for each in zip(texts, answers, strict=True)]
    rows = [(each.text.source, each.written, ", ".join(each.unknown)) for each in found]
    table = Table(("sentence", "translation", "unknown words"), rows)
    title, text = captions.FIGURES["own_translations"]
    figures = _figures("own_attention", found)
    page = [Section(title, text, table=table), *(captions.section(name, figure) for name, figure in figures.items())]
    return Shown(tables=[table], figures=figures, page=[*page, *captions.skipped(data.own)])


def _first(evaluation: Evaluation, count: int, write: Write) -> list[Translated]:
    """Translate the first sentences of an evaluation, one by one, as `predict` does."""
    data, network, device = evaluation.data, evaluation.network, evaluation.first.inputs.device
    if not isinstance(data, TranslatedTexts):
        return []
    return [
        translate_row(network, data, evaluation.split, row, write, device) for row in own_rows(evaluation.first)[:count]
    ]


def translate_row(
    network: nn.Module,
    data: TranslatedTexts,
    split: Split,
    row: int,
    write: Write,
    device: torch.device = CPU,
) -> Translated:
    """Translate one sentence of a split, alone, as `predict` does.

    Args:
        network: A network that writes sentences, in evaluation.
        data: Its data, set up.
        split: Name of the split.
        row: The sentence's row.
        write: Writes a sentence for each of a batch, such as `NextToken.predict`.
        device: The network's device.
    """
    sentence = data.pair_of(split, row).source
    text = OwnText(sentence.split(), sentence)
    (tokens,) = write(network, _to(data.as_batch(text), device))
    return _translated(network, data, text, tokens, device)


@torch.no_grad()
def _translated(
    network: nn.Module, data: TranslatedTexts, text: OwnText, tokens: Tensor, device: torch.device
) -> Translated:
    """Describe the translation `(L,)` of a sentence."""
    words, target = data.words_read(text), data.vocabularies.target
    unknown = [word for word, known in zip(words, data.known(words), strict=True) if not known]
    before_end = until_end(tokens.tolist())
    written = before_end + ([END] if len(before_end) < len(tokens) else [])
    attended = None
    if isinstance(network, Attentive):
        batch = _to(data.as_batch(text), device)._replace(targets=torch.tensor([written], device=device))
        (weights,) = network.attention(batch)
        attended = Attended([*words, "<end>"], target.pieces(written), weights)
    return Translated(text, target.decode(written), unknown, attended)


def _to(batch: Batch, device: torch.device) -> Batch:
    return batch.map(lambda tensor: tensor.to(device))


def _figures(name: str, found: list[Translated]) -> dict[str, Figure]:
    """Draw what each sentence attended to, by `NAME_1`, `NAME_2`, …."""
    drawn = [plot_attention({"": each.attended}) for each in found if each.attended is not None]
    return {f"{name}_{place}": figure for place, figure in enumerate(drawn, start=1)}
