"""Prediction of a sentence's next token, and sentences written token by token."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Protocol, runtime_checkable

from matplotlib.figure import Figure
from torch import Tensor, nn
from torchmetrics import MetricCollection

from seqsum.data.base import Batch, SequenceData
from seqsum.data.pairs.translated import TranslatedTexts
from seqsum.errors import check_choice, check_sizes, missing_size
from seqsum.figures.page import Section
from seqsum.networks.beam_search import Found
from seqsum.objectives.base import Objective
from seqsum.objectives.bleu import CorpusBleu, Tokenizer, signature
from seqsum.objectives.classification import Accuracy
from seqsum.objectives.evaluation import Evaluation, Look, Prediction, Shown
from seqsum.objectives.masks import masked_mean, without_masked
from seqsum.objectives.metrics import collect
from seqsum.objectives.next_token_shown import draw_translations, report_translations, show_translations, write_texts
from seqsum.objectives.perplexity import Perplexity, cross_entropy
from seqsum.recurrent.cells.base import check_probability


@runtime_checkable
class Writer(Protocol):
    """A network that writes sentences."""

    def write(self, batch: Batch, *, beams: int = 1, longest: int = 100, length_power: float = 1.0) -> Found:
        """Write a sentence for each sequence of a batch, see `beam_search`."""


class NextToken(Objective):
    """Cross-entropy of each next token, given those before it (teacher forcing), and BLEU of written sentences.

    Validation and test measure `perplexity`, the exponential of the mean cross-entropy, without label smoothing. A test
    of sentence pairs also writes a translation of every sentence and measures `bleu`.

    Args:
        vocabulary_size: Number of tokens, `V`. On the command line it follows the data's target vocabulary.
        label_smoothing: Share of the probability that the loss spreads evenly over all tokens (Szegedy et al., 2016).
        beams: Beginnings that are kept while a sentence is written, see `beam_search`; 1 for the greedy search.
        length_power: Power of the length by which log-probabilities of sentences are divided.
        longest: Most tokens of a sentence.
        bleu_tokenizer: How sacrebleu splits sentences for `bleu`: `13a` at spaces and punctuation, `zh` Chinese into
            characters, too, and `char` everything, for other languages without spaces.

    Raises:
        ValueError: A number is out of its range.
        InputError: The vocabulary size is missing.
    """

    follows: ClassVar[Mapping[str, str]] = {"vocabulary_size": "target_vocabulary_size"}
    monitor = "val/perplexity"
    monitor_mode = "min"
    by_step = True

    def __init__(
        self,
        vocabulary_size: int | None = None,
        label_smoothing: float = 0.1,
        beams: int = 5,
        length_power: float = 1.0,
        longest: int = 100,
        bleu_tokenizer: Tokenizer = "13a",
    ) -> None:
        super().__init__()
        check_choice("bleu_tokenizer", bleu_tokenizer, Tokenizer)
        if vocabulary_size is None:
            raise missing_size("--model.objective.vocabulary_size", "target_vocabulary_size")
        check_probability("label_smoothing", label_smoothing)
        check_sizes(vocabulary_size=vocabulary_size, beams=beams, longest=longest)
        if not math.isfinite(length_power):
            raise ValueError(f"`length_power` (={length_power}) must be a number")
        self.output_size = vocabulary_size
        self.label_smoothing = label_smoothing
        self.beams, self.length_power, self.longest = beams, length_power, longest
        self.bleu_tokenizer: Tokenizer = bleu_tokenizer

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Compute the mean over all tokens from outputs `(B, T, V)` and tokens `(B, T)`: a scalar, in nats."""
        self.check_outputs(outputs, batch)
        outputs, targets = (without_masked(each, batch.scored) for each in (outputs, batch.targets))
        tokens = self.classes(targets, self.output_size)
        return masked_mean(cross_entropy(outputs, tokens, self.label_smoothing), batch.scored)

    def metrics(self) -> MetricCollection:
        return collect({"perplexity": Perplexity(), "accuracy": Accuracy()})

    def answer_metrics(self, data: SequenceData | None) -> MetricCollection:
        return collect({"bleu": CorpusBleu(data, self.bleu_tokenizer)} if isinstance(data, TranslatedTexts) else {})

    def answers(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the most probable next token after each step."""
        return outputs.argmax(-1)

    def predict(self, network: nn.Module, batch: Batch) -> Tensor:
        """Write a sentence for each sequence: tokens `(B, L)`, its end and what follows the end token.

        A network that has no `write` answers at each step, see `answers`.
        """
        if not isinstance(network, Writer):
            return super().predict(network, batch)
        return network.write(batch, beams=self.beams, longest=self.longest, length_power=self.length_power).tokens

    def describe(self, data: SequenceData) -> str:
        """Say in a sentence what a network was trained for."""
        if not isinstance(data, TranslatedTexts):
            return super().describe(data)
        return f"Trained on {data.dataset} to translate {' to '.join(data.languages)}"

    def figures(self, evaluation: Evaluation) -> dict[str, Figure]:
        """See `draw_translations`."""
        return draw_translations(evaluation, self.predict)

    def texts(self, evaluation: Evaluation) -> dict[str, str]:
        """See `write_texts`."""
        return write_texts(evaluation, self.predict)

    def report(self, evaluation: Evaluation, look: Look) -> list[Section]:
        """See `report_translations`; of other data gates and states."""
        if not isinstance(evaluation.data, TranslatedTexts):
            return super().report(evaluation, look)
        return report_translations(evaluation, look, self.predict, signature(self.bleu_tokenizer))

    def show(self, prediction: Prediction) -> Shown:
        """See `show_translations`."""
        return show_translations(prediction) or super().show(prediction)
