"""Batches: which targets belong to a network's outputs."""

from __future__ import annotations

import re

import pytest
import torch

from seqsum.data import Batch, ScoredSteps
from seqsum.errors import InputError
from seqsum.objectives import NextToken

VOCABULARY = 7


def draw(seed, steps=5):
    """A batch of up to three sequences, of which any steps are scored, and outputs for all of them."""
    generator = torch.Generator().manual_seed(seed)
    rows = int(torch.randint(1, 4, (), generator=generator))
    scored = torch.rand(rows, steps, generator=generator) < 0.6
    targets = torch.randint(VOCABULARY, scored.shape, generator=generator)
    return Batch(torch.zeros(rows, 4), targets, target_mask=scored), torch.randn(
        *scored.shape, VOCABULARY, generator=generator
    )


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("steps", [1, 5])
def test_outputs_of_scored_steps_alone_give_the_same_loss_and_metrics(seed, steps):
    batch, outputs = draw(seed, steps)
    found = []
    for given in (outputs, ScoredSteps(outputs[batch.scored])):
        each, theirs = batch.pair(given)
        objective = NextToken(VOCABULARY)
        metrics = objective.metrics()
        metrics.update(each, theirs.targets, theirs.scored)
        loss, count = objective.loss(each, theirs), objective.scored(theirs).sum()
        found.append({"loss": loss, "count": count, **metrics.compute()})
    torch.testing.assert_close(found[1], found[0], equal_nan=True)


def test_outputs_of_all_steps_belong_to_the_batch_itself():
    """Whatever their shape: `WordVectors` and networks of one's own give other axes than `(B, S, K)`."""
    batch, outputs = draw(0)
    for each in (batch, batch._replace(target_mask=None)):
        for given in (outputs, outputs[..., 0], outputs[batch.scored]):
            same, theirs = each.pair(given)
            assert same is given
            assert theirs is each


def test_all_steps_are_scored_without_a_mask():
    batch, outputs = draw(0)
    each, theirs = batch._replace(target_mask=None).pair(ScoredSteps(outputs.flatten(0, 1)))
    loss = NextToken(VOCABULARY).loss
    torch.testing.assert_close(loss(each, theirs), loss(outputs, batch._replace(target_mask=None)))


def test_what_are_no_outputs_or_of_another_number_of_steps_is_refused():
    batch, outputs = draw(0)
    count = int(batch.scored.sum())
    for wrong in (outputs[batch.scored][1:], outputs):
        given = re.escape(str(tuple(wrong.shape)))
        message = rf"^`ScoredSteps` of shape {given} must be of \(M, K\) with M={count}, one for each scored target"
        with pytest.raises(InputError, match=message):
            batch.pair(ScoredSteps(wrong))
    with pytest.raises(InputError, match=r"^the network's outputs \(=tuple\) must be a tensor or `ScoredSteps`$"):
        batch.pair((outputs, outputs))
