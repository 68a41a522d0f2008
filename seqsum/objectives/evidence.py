"""What a network made of a text: its answer, and how each word moved it."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seqsum.data.base import Batch
from seqsum.data.text import PADDING
from seqsum.data.text.labelled import LabelledTexts
from seqsum.data.text.own import OwnText
from seqsum.figures.texts import Directions, ReadText
from seqsum.objectives.evaluation import Logits

LONGEST = 1_000  # words of a text that is read word by word: with two directions the time grows with the square


class Verdict(NamedTuple):
    """A network's answer to a text.

    Attributes:
        text: The text.
        answer: Name of the most probable label.
        chance: Its probability.
        known: For each word read whether it is in the vocabulary.
        read: How each word moved the answer; None if that is not known.
        directions: What the words move it to.
        padding: Change of the log-odds by padding that the network reads as words.
        label: Name of the true label; empty if it is not known.
    """

    text: OwnText
    answer: str
    chance: float
    known: list[bool]
    read: ReadText | None
    directions: Directions
    padding: float = 0.0
    label: str = ""


def name_of(data: LabelledTexts, label: int) -> str:
    """Return the name of a label, or its number if it has none."""
    return data.label_names[label] if label < len(data.label_names) else str(label)


@torch.no_grad()
def judge(
    network: nn.Module, data: LabelledTexts, text: OwnText, device: torch.device, logits: Logits, by_word: bool = True
) -> Verdict:
    """Let a network read a text.

    Of two labels, words move the answer towards the second or the first; of more, towards the answer or away from it.

    Args:
        network: The network, in evaluation mode.
        data: The data that the network was trained on.
        text: The text.
        device: Device of the network.
        logits: Turns its outputs into logits.
        by_word: Whether to ask it after every word, if it can and the text has at most `LONGEST` words.
    """
    batch = data.as_batch(text).map(lambda tensor: tensor.to(device))
    final = logits(network(batch))[0, -1].cpu().double()  # (C,); Apple's GPUs have no float64
    count, answer, words = len(final), int(final.argmax()), data.words_read(text)
    towards = 1 if count == 2 else answer
    directions = Directions(name_of(data, towards), name_of(data, 0) if count == 2 else "other labels")
    known = data.known(words)
    verdict = Verdict(text, name_of(data, answer), float(final.softmax(0)[answer]), known, None, directions)
    if not (by_word and can_be_asked(network) and len(words) <= LONGEST):
        return verdict
    odds = log_odds(logits(network.by_step(batch))[0], towards)  # type: ignore[operator]  # it is a method
    batch = batch.map(lambda tensor: tensor.cpu())
    changes, padding = changes_of_words(odds, batch, even=-math.log(count - 1))
    chances = odds[words_in(batch)].sigmoid()
    return verdict._replace(read=ReadText(words, changes.tolist(), chances.tolist(), known), padding=padding)


def can_be_asked(network: nn.Module) -> bool:
    """Whether a network says what it would answer after every step, by a method `by_step`."""
    return callable(getattr(network, "by_step", None))


def log_odds(logits: Tensor, label: int) -> Tensor:
    """Compute the log-odds of one label against all others from logits `(…, C)`: `(…)`, in nats, float64 on the CPU."""
    logits = logits.cpu().double()
    others = torch.cat([logits[..., :label], logits[..., label + 1 :]], dim=-1)
    return logits[..., label] - others.logsumexp(-1)


def words_in(batch: Batch) -> Tensor:
    """Return the steps of a batch of one text that are words, not padding: bool `(T,)`."""
    return batch.inputs[0] != PADDING


def changes_of_words(odds: Tensor, batch: Batch, even: float = 0.0) -> tuple[Tensor, float]:
    """Compute what each word added to the log-odds.

    Args:
        odds: Log-odds after each step, `(T,)`.
        batch: The batch of one text, inputs `(1, T)`.
        even: Log-odds before the first step, when all labels have the same probability.

    Returns:
        The change by each word, and the sum of the changes by padding, which is 0 if padding is masked.
    """
    valid = torch.ones_like(odds, dtype=torch.bool) if batch.mask is None else batch.mask[0]
    changes = odds[valid].diff(prepend=odds.new_full((1,), even))
    words = words_in(batch)[valid]
    return changes[words], float(changes[~words].sum())
