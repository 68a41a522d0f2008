"""Digits that running sums tell: their loss and accuracy are those of the labels."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from seqsum.data import DigitSums, SineCurves
from seqsum.data.sums import running_targets
from seqsum.objectives import Evaluation, Increments
from tests.objectives.batches import labelled

MASK = torch.rand(6, 9, generator=torch.Generator().manual_seed(3)) < 0.6


def drawn():
    torch.manual_seed(1)
    return torch.randint(0, 10, (6, 9)), torch.randn(6, 9, 10)


def compacted_sums(labels, operation, mask):
    """Running sums in which masked steps don't count; NaN at them, since they may be anything."""
    sums = torch.full(labels.shape, torch.nan)
    for row, valid in enumerate(mask):
        sums[row, valid] = running_targets(labels[row, valid], operation)
    return sums


@pytest.mark.parametrize("operation", ["alternating", "sum"])
def test_loss_and_accuracy_are_those_of_the_digits(operation):
    labels, outputs = drawn()
    objective, metrics = Increments(), Increments().metrics()
    sums = running_targets(labels, operation)
    expected = F.cross_entropy(outputs.flatten(0, 1), labels.flatten())
    torch.testing.assert_close(objective.loss(outputs, labelled(sums)).float(), expected)
    metrics.update(outputs, sums, None)
    assert metrics.compute()["accuracy"] == (outputs.argmax(-1) == labels).float().mean()


@pytest.mark.parametrize("operation", ["alternating", "sum"])
def test_masked_steps_are_left_out(operation):
    labels, outputs = drawn()
    sums = compacted_sums(labels, operation, MASK)
    expected = F.cross_entropy(outputs[MASK], labels[MASK])
    torch.testing.assert_close(Increments().loss(outputs, labelled(sums, MASK)).float(), expected)
    metrics = Increments().metrics()
    metrics.update(outputs, sums, MASK)
    assert metrics.compute()["accuracy"] == (outputs.argmax(-1) == labels)[MASK].float().mean()


@pytest.mark.parametrize("operation", ["alternating", "sum"])
def test_a_test_shows_which_digit_is_taken_for_which(operation):
    """Every 3 is read as 8; texts off the diagonal are the confusions."""
    labels = torch.arange(10).repeat(6, 1)
    outputs = F.one_hot(labels.where(labels != 3, 8), 10).float()
    batch = labelled(running_targets(labels, operation))
    seen = Evaluation("test", nn.Identity(), DigitSums(operation=operation), batch, [batch], [outputs])
    axes = Increments().figures(seen)["confusion"].axes[0]
    taken = {(text.get_position(), text.get_text()) for text in axes.texts if text.get_fontweight() == "bold"}
    assert taken == {((8, 3), "6")}
    shorter = seen.batches[0].map(lambda tensor: tensor[:, :3])
    unequal = seen._replace(batches=[batch, shorter], outputs=[outputs, outputs[:, :3]])
    texts = Increments().figures(unequal)["confusion"].axes[0].texts
    assert {text.get_text() for text in texts} == {"6", "12"}, "steps that the shorter sequences lack are not counted"
    other = seen._replace(data=SineCurves())
    assert Increments().figures(other) == {}
