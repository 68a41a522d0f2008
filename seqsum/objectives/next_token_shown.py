"""What is shown of translations: sentences beside their references, and what each written word attended to."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from seqsum.data.base import Batch
from seqsum.data.pairs.translated import TranslatedTexts
from seqsum.data.text import END
from seqsum.data.text.own import OwnText
from seqsum.data.text.sentences import SentenceVocabulary, until_end
from seqsum.figures.attention import Attended, plot_attention
from seqsum.figures.page import Section, Table
from seqsum.objectives import captions
from seqsum.objectives.bleu import pairs_of
from seqsum.objectives.evaluation import Evaluation, Look, Prediction, Shown

DRAWN = 2  # sentences of an evaluation whose attention is drawn
LISTED = 12  # sentences that TensorBoard shows
MAPS = 12  # most of a user's sentences whose attention is drawn
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
        written: Its translation, see `_in_words`.
        unknown: Words of the sentence that the network doesn't know.
        attended: What each written word attended to; None if the network doesn't tell.
    """

    text: OwnText
    written: str
    unknown: list[str]
    attended: Attended | None


def draw_translations(evaluation: Evaluation, write: Write) -> dict[str, Figure]:
    """Draw `attention_1`, `attention_2`: what words of the first batch attended to, if the network tells."""
    return _figures("attention", _first(evaluation, DRAWN, write))


def write_texts(evaluation: Evaluation, write: Write) -> dict[str, str]:
    """Write `translations`: sentences of the first batch, references and translations, as a table in Markdown."""
    data, first = evaluation.data, evaluation.first.map(lambda tensor: tensor[:LISTED])
    if not isinstance(data, TranslatedTexts):
        return {}
    pairs = pairs_of(data, evaluation.split, evaluation.first)[:LISTED]
    target = data.vocabularies.target
    written = [_in_words(target, tokens) for tokens in write(evaluation.network, first).tolist()]
    rows = [(pair.source, pair.target, sentence) for pair, sentence in zip(pairs, written, strict=True)]
    lines = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    return {"translations": "\n".join(["source | reference | translation", "---|---|---", *lines])}


def report_translations(evaluation: Evaluation, look: Look, write: Write, bleu: str) -> list[Section]:
    """Make the page of a test: sentences, references and translations, and attention; nothing for other data.

    It also says how `bleu` is computed.
    """
    data = evaluation.data
    if not isinstance(data, TranslatedTexts):
        return []
    found = _first(evaluation, look.sequences, write)
    pairs = pairs_of(data, evaluation.split, evaluation.first)[: len(found)]
    rows = [(each.text.source, pair.target, each.written) for each, pair in zip(found, pairs, strict=True)]
    title, text = captions.FIGURES["translations"]
    table = Table(("source", "reference", "translation"), rows)
    figures = _figures("attention", found)
    sections = captions.sections(figures)
    return [Section(title, f"{text} BLEU is computed by sacrebleu ({bleu}).", table=table), *sections]


def show_translations(prediction: Prediction) -> Shown | None:
    """Show the translations of a user's sentences, and what each word attended to; None for other data."""
    data, network = prediction.data, prediction.network
    if not isinstance(data, TranslatedTexts):
        return None
    answers = [tokens for of_batch in prediction.answers for tokens in of_batch]  # (L,) each
    texts = data.own.texts[: len(answers)]  # a flag of the Trainer may limit the batches
    device = prediction.batches[0].inputs.device
    found = [
        _describe(network if place < MAPS else None, data, text, tokens, device)
        for place, (text, tokens) in enumerate(zip(texts, answers, strict=True))
    ]
    rows = [(each.text.source, each.written, ", ".join(each.unknown)) for each in found]
    table = Table(("sentence", "translation", "unknown words"), rows)
    title, text = captions.FIGURES["own_translations"]
    figures = _figures("own_attention", found)
    lines = []
    if 0 < len(figures) < len(found):
        lines.append(f"Attention is drawn for the first {MAPS} of {len(found):,} sentences")
    page = [Section(title, "\n".join([text, *lines]), table=table)]
    page += captions.sections(figures)
    return Shown(lines, tables=[table], figures=figures, page=[*page, *captions.skipped(data.own)])


def _first(evaluation: Evaluation, count: int, write: Write) -> list[Translated]:
    """Translate the first sentences of an evaluation's first batch, one by one, as `predict` does."""
    data, network, device = evaluation.data, evaluation.network, evaluation.first.inputs.device
    if not isinstance(data, TranslatedTexts):
        return []
    pairs = pairs_of(data, evaluation.split, evaluation.first)[:count]
    return [translate(network, data, pair.source, write, device) for pair in pairs]


def translate(
    network: nn.Module, data: TranslatedTexts, sentence: str, write: Write, device: torch.device = CPU
) -> Translated:
    """Translate a sentence of the data alone, as `predict` does.

    Args:
        network: A network that writes sentences, in evaluation.
        data: Its data, set up.
        sentence: The sentence as the data have it.
        write: Writes a sentence for each of a batch, such as `NextToken.predict`.
        device: The network's device.
    """
    text = OwnText(sentence.split(), sentence)
    (tokens,) = write(network, _to(data.as_batch(text), device))
    return _describe(network, data, text, tokens, device)


@torch.no_grad()
def _describe(
    network: nn.Module | None, data: TranslatedTexts, text: OwnText, tokens: Tensor, device: torch.device
) -> Translated:
    """Describe the translation `(L,)` of a sentence; with a network, also what that attends to while it writes it."""
    words, target = data.words_read(text), data.vocabularies.target
    unknown = [word for word, known in zip(words, data.known(words), strict=True) if not known]
    before_end = until_end(tokens.tolist())
    written = before_end + ([END] if len(before_end) < len(tokens) else [])
    attended = None
    if isinstance(network, Attentive):
        batch = _to(data.as_batch(text), device)._replace(targets=torch.tensor([written], device=device))
        (weights,) = network.attention(batch)
        attended = Attended([*words, "<end>"], target.pieces(written), weights)
    return Translated(text, _in_words(target, tokens.tolist()), unknown, attended)


def _in_words(target: SentenceVocabulary, tokens: list[int]) -> str:
    """Make a sentence of the tokens of a translation; say so if it was cut off, and so has no end."""
    written = target.decode(tokens)
    return written if END in tokens else f"{written} … (cut off after {len(tokens):,} tokens)"


def _to(batch: Batch, device: torch.device) -> Batch:
    return batch.map(lambda tensor: tensor.to(device))


def _figures(name: str, found: list[Translated]) -> dict[str, Figure]:
    """Draw what each sentence attended to, by `NAME_1`, `NAME_2`, …."""
    drawn = [plot_attention({"": each.attended}) for each in found if each.attended is not None]
    return {f"{name}_{place}": figure for place, figure in enumerate(drawn, start=1)}
