"""Copy memory: the loss scores all steps, the metrics only recall steps; figures show each sequence with its own."""

import math

import pytest
import torch
from torch.nn import functional as F

from seqsum.data import Batch, CopyMemory
from seqsum.objectives import Evaluation, Recall, recall
from tests.drawn import draw_nothing
from tests.objectives.batches import labelled

BLANK = 3
TARGETS = torch.tensor([[BLANK, BLANK, BLANK, 0, 2], [BLANK, BLANK, BLANK, 1, 1], [BLANK, BLANK, BLANK, 2, 0]])


def outputs_for(answers):
    """Make logits `(B, T, K)` whose most probable classes are `answers`."""
    torch.manual_seed(0)
    return torch.rand(3, 5, 4) + 5 * F.one_hot(torch.tensor(answers), 4)


def test_metrics_written_out():
    metrics = Recall(num_symbols=3).metrics()
    wrong_before = [[0, 1, 2, 0, 2], [BLANK] * 3 + [1, 0], [BLANK] * 3 + [BLANK, 0]]
    metrics.update(outputs_for(wrong_before), TARGETS)
    found = metrics.compute()
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["exact_recall"] == pytest.approx(1 / 3)
    by_step = metrics["accuracy"].by_step()
    assert by_step[:3].isnan().all()
    torch.testing.assert_close(by_step[3:], torch.tensor([2 / 3, 2 / 3]))


def test_metrics_of_two_batches_are_those_of_both_together():
    metrics = Recall(num_symbols=3).metrics()
    outputs = outputs_for([[BLANK] * 3 + [0, 2], [BLANK] * 3 + [1, 0], [BLANK] * 3 + [2, 0]])
    metrics.update(outputs[:1], TARGETS[:1])
    metrics.update(outputs[1:], TARGETS[1:])
    assert metrics.compute()["exact_recall"] == pytest.approx(2 / 3)
    assert metrics.compute()["accuracy"] == pytest.approx(5 / 6)


def test_loss_is_the_cross_entropy_of_all_steps():
    objective = Recall(num_symbols=3)
    outputs = outputs_for([[0, 1, 2, 3, 0]] * 3).requires_grad_()
    loss = objective.loss(outputs, labelled(TARGETS))
    expected = F.cross_entropy(outputs.flatten(0, 1), TARGETS.flatten())
    torch.testing.assert_close(loss.float(), expected)
    loss.backward()
    assert (outputs.grad[:, 0] != 0).all()  # blanks have to be learnt too


def test_guessing_symbols_has_the_loss_of_the_recalled_steps_alone():
    outputs = torch.full((3, 5, 4), -1e4)
    outputs[:, :3, BLANK] = 0
    outputs[:, 3:, :3] = 0
    assert float(Recall(num_symbols=3).loss(outputs, labelled(TARGETS))) == pytest.approx(2 / 5 * math.log(3))


def test_a_single_symbol_is_refused():
    with pytest.raises(ValueError, match=r"`num_symbols` \(=1\) must be at least 2"):
        Recall(num_symbols=1)


def test_masked_steps_take_no_part():
    metrics, mask = Recall(num_symbols=3).metrics(), torch.ones(3, 5, dtype=torch.bool)
    mask[1, 3] = mask[2, 4] = False
    wrong_where_masked = [[BLANK] * 3 + [0, 2], [BLANK] * 3 + [0, 1], [BLANK] * 3 + [2, 1]]
    metrics.update(outputs_for(wrong_where_masked), TARGETS, mask)
    assert metrics.compute() == {"accuracy": 1, "exact_recall": 1}
    metrics.update(outputs_for(wrong_where_masked), TARGETS)
    assert metrics.compute()["exact_recall"] == pytest.approx(4 / 6)


def test_sequences_are_drawn_with_their_own_answers_and_masked_steps_recall_nothing(monkeypatch):
    draw_nothing(monkeypatch, recall, "plot_recall", "plot_recall_by_place")
    read, mask = torch.tensor([[0, 2, BLANK, 3, 3], [1, 1, BLANK, 3, 3], [2, 0, BLANK, 3, 3]]), TARGETS >= 0
    mask[1, 4] = mask[2, 4] = False
    batches = [Batch(F.one_hot(read[few], 4), TARGETS[few], mask[few]) for few in (slice(2), slice(2, 3))]
    outputs, objective = outputs_for([[BLANK] * 3 + [0, 1], [BLANK] * 3 + [1, 2], [0, 1, 2, 3, 0]]), Recall(3)
    evaluation = Evaluation("val", torch.nn.Identity(), CopyMemory(), batches[0], batches, outputs.split(2))
    figures = objective.figures(evaluation)
    given = figures["recall"].given
    assert torch.equal(given.symbols, read[:2])
    assert torch.equal(given.targets, TARGETS[:2])
    torch.testing.assert_close(given.probabilities, outputs[:2].softmax(-1))
    given = figures["recall_by_place"].given
    assert torch.equal(given.answers, outputs.argmax(-1))
    assert torch.equal(given.targets, TARGETS.where(mask, BLANK))
