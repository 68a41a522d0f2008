"""How each word moved an answer, compared with a network whose words have weights that are known."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from torch import nn

from seqsum.data.base import Batch, unlabelled
from seqsum.networks import Embed, ReadoutName, build_network
from seqsum.objectives.classification import class_logits
from seqsum.objectives.evidence import LONGEST, changes_of_words, judge, log_odds
from tests.covering import covering
from tests.objectives.texts import Texts, WeightOfWords

CPU = torch.device("cpu")


def test_changes_are_the_weights_of_the_words():
    data, network = Texts(["good good bad new"]), WeightOfWords()
    verdict = judge(network, data, data.own.texts[0], CPU, class_logits)
    assert verdict.read.words == ["good", "good", "bad", "new"]
    assert verdict.read.changes == pytest.approx([2, 2, -3, 0.5])
    assert verdict.read.chances == pytest.approx([1 / (1 + math.exp(-odds)) for odds in (2, 4, 1, 1.5)])
    assert verdict.read.known == [True, True, True, False]
    assert (verdict.answer, verdict.directions) == ("yes", ("yes", "no"))
    assert verdict.chance == pytest.approx(1 / (1 + math.exp(-1.5)))
    assert verdict.padding == 0


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_padding_is_told_from_words(before, masked):
    data, network = Texts(["good bad"], steps=5, before=before, masked=masked), WeightOfWords()
    verdict = judge(network, data, data.own.texts[0], CPU, class_logits)
    assert verdict.read.changes == pytest.approx([2, -3])
    first = 3 * 0.25 if before and not masked else 0
    assert verdict.read.chances == pytest.approx([1 / (1 + math.exp(-first - odds)) for odds in (2, -1)])
    assert verdict.padding == pytest.approx(0 if masked else 3 * 0.25)
    assert sum(verdict.read.changes) + verdict.padding == pytest.approx(math.log((1 - verdict.chance) / verdict.chance))


@pytest.mark.parametrize(
    ("readout", "bidirectional", "classes"), covering(get_args(ReadoutName)[1:], (True, False), (1, 2, 4))
)
def test_changes_of_every_readout_add_up_to_its_answer(readout, bidirectional, classes):
    torch.manual_seed(0)
    network = build_network(
        output_size=classes,
        encoder=Embed(6, 5),
        cell="gru",
        hidden_size=4,
        readout=readout,
        bidirectional=bidirectional,
    ).eval()
    nn.init.normal_(network.head.weight)
    data = Texts(["good bad new bad good good"])
    verdict = judge(network, data, data.own.texts[0], CPU, class_logits)
    final = log_odds(class_logits(network(data.as_batch(data.own.texts[0])))[0, 0], 1).item()
    if classes > 2:
        assert verdict.directions.against == "other labels"
        final = math.log(verdict.chance / (1 - verdict.chance)) + math.log(classes - 1)
    assert sum(verdict.read.changes) == pytest.approx(final, abs=1e-5)
    shift = math.log(classes - 1) if classes > 2 else 0
    assert verdict.read.chances[-1] == pytest.approx(1 / (1 + math.exp(shift - final)), abs=1e-5)


def test_log_odds_of_probabilities():
    logits = torch.tensor([0.2, 0.5, 0.3]).log() + 7
    assert [log_odds(logits, label).item() for label in range(3)] == pytest.approx(
        [math.log(p / (1 - p)) for p in (0.2, 0.5, 0.3)], abs=1e-6
    )


def test_first_word_starts_from_even_odds():
    batch = unlabelled(torch.tensor([[2, 3]]))
    changes, _ = changes_of_words(torch.tensor([0.0, 1.0]), batch, even=-math.log(3))
    assert changes.tolist() == pytest.approx([math.log(3), 1])


class Plain(nn.Module):
    def forward(self, batch: Batch):
        return WeightOfWords()(batch)


def test_answers_need_no_network_that_can_be_asked_after_every_word():
    data = Texts(["good", "good bad bad"])
    verdicts = [judge(Plain(), data, text, CPU, class_logits) for text in data.own.texts]
    assert [(verdict.answer, verdict.read) for verdict in verdicts] == [("yes", None), ("no", None)]


def test_very_long_texts_are_answered_but_not_word_by_word():
    data = Texts(["good " * LONGEST, "good " * (LONGEST + 1)])
    verdicts = [judge(WeightOfWords(), data, text, CPU, class_logits) for text in data.own.texts]
    assert [verdict.read is None for verdict in verdicts] == [False, True]
