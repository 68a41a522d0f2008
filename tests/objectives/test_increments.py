"""Digits that running sums tell: their loss and accuracy are those of the labels."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from seqsum.data.sums import running_targets
from seqsum.objectives import Increments
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
