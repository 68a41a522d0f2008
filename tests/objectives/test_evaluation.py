"""Batches of an evaluation are joined into one, and answers are shown for the steps that there are."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from seqsum.data.base import Batch, unlabelled
from seqsum.networks import Flatten, SequenceNetwork
from seqsum.objectives import Evaluation, Objective, Prediction, base
from seqsum.recurrent import GRU
from tests.drawn import draw_nothing
from tests.objectives.batches import labelled

OF_THREE, OF_TWO = torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.tensor([[7, 8]])


@pytest.mark.parametrize(
    ("masks", "joined"),
    [
        ((None, None), [[True, True, True], [True, True, True], [True, True, False]]),
        (([[True] * 3, [True, False, False]], None), [[True] * 3, [True, False, False], [True, True, False]]),
        ((None, [[True, False]]), [[True] * 3, [True] * 3, [True, False, False]]),
    ],
)
def test_no_step_is_scored_that_a_shorter_batch_does_not_have(masks, joined):
    given = zip((OF_THREE, OF_TWO), masks, strict=True)
    batches = [labelled(targets, None if mask is None else torch.tensor(mask)) for targets, mask in given]
    outputs = [10 * batch.targets.unsqueeze(2) for batch in batches]
    whole = Evaluation("val", torch.nn.Identity(), None, batches[0], batches, outputs).join()
    assert whole.mask.tolist() == joined
    assert whole.targets.tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 0]]
    assert torch.equal(whole.outputs, 10 * whole.targets.unsqueeze(2))


def test_without_masks_batches_of_one_length_need_none():
    batches = [labelled(OF_THREE)] * 2
    whole = Evaluation("val", torch.nn.Identity(), None, batches[0], batches, [torch.zeros(2, 3, 1)] * 2).join()
    assert whole.mask is None


def test_each_sequence_of_a_prediction_has_answers_at_its_own_steps():
    batches = [labelled(OF_THREE, torch.tensor([[True] * 3, [False, True, False]])), labelled(OF_TWO)]
    answers = [batch.targets * 0.5 for batch in batches]
    shown = Objective.show(None, Prediction(torch.nn.Identity(), None, batches, answers))
    assert [(table.title, table.rows) for table in shown.tables] == [
        ("Sequence 1", [("1", "0.5"), ("2", "1"), ("3", "1.5")]),
        ("Sequence 2", [("1", "2.5")]),
        ("Sequence 3", [("1", "3.5"), ("2", "4")]),
    ]


def test_gates_are_those_of_the_valid_steps_of_the_first_sequence_that_has_one(monkeypatch):
    draw_nothing(monkeypatch, base, "plot_gates")
    torch.manual_seed(0)
    network = SequenceNetwork(Flatten(2), GRU(2, 3, batch_first=True), nn.Linear(3, 1)).eval()
    mask = torch.tensor([[False] * 5, [False, True, False, True, True], [True] * 5])
    batch = Batch(torch.randn(3, 5, 2), torch.zeros(3, 5), mask)
    (section,) = base.inside(Evaluation("test", network, None, batch, [batch], []))
    alone, _ = network.recur(network.features(unlabelled(batch.inputs[1:2, mask[1]])))
    torch.testing.assert_close(section.figure.given.gates["hidden"], alone[0])
