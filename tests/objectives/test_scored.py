"""Loss, gradient and metrics of every objective depend on the scored steps alone, however a network hands them over."""

from __future__ import annotations

import pytest
import torch

from seqsum.data import Batch, ScoredSteps
from seqsum.module import SequenceModule
from seqsum.objectives import (
    Classification,
    Increments,
    NextSample,
    NextToken,
    Recall,
    Restoration,
    RunningSum,
)

B, S = 4, 6
OBJECTIVES = {
    "last class": lambda: Classification(5),
    "last two classes": lambda: Classification(5, 2),
    "every class": lambda: Classification(5, "every"),
    "one of two classes": lambda: Classification(2, "every", sigmoid=True),
    "increments": Increments,
    "next sample": NextSample,
    "next token": lambda: NextToken(7),
    "recall": lambda: Recall(3),
    "pixels": Restoration,
    "pixels of many greys": lambda: Restoration("squared_error"),
    "running sum": RunningSum,
}
of_objectives = pytest.mark.parametrize("name", OBJECTIVES)
of_seeds = pytest.mark.parametrize("seed", range(3))


def draw(objective, seed, masks=()):
    """Draw outputs and a batch with the masks that are named."""
    generator = torch.Generator().manual_seed(seed)
    if isinstance(objective, Restoration):
        targets = torch.rand(B, S, generator=generator)
    elif isinstance(objective, NextSample):
        targets = torch.randn(B, S, generator=generator)
    elif isinstance(objective, Increments | RunningSum):
        signs = torch.tensor([1, -1]).repeat(S // 2)
        targets = (torch.randint(10, (B, S), generator=generator) * signs).cumsum(1).float()
    else:
        targets = torch.randint(max(2, objective.output_size), (B, S), generator=generator)
    batch = Batch(torch.zeros(B, S, 1), targets)
    batch = batch._replace(**{name: torch.rand(B, S, generator=generator) < 0.7 for name in masks})
    return torch.randn(B, S, objective.output_size, generator=generator).requires_grad_(), batch


def measure(objective, outputs, paired, batch):
    """Loss, its gradient with respect to `outputs`, number of terms, and metrics."""
    loss = objective.loss(paired, batch)
    metrics = objective.metrics()
    metrics.update(paired.detach(), batch.targets, batch.scored)
    return [loss, *torch.autograd.grad(loss, outputs), objective.scored(batch).sum(), metrics.compute()]


@of_objectives
@of_seeds
@pytest.mark.parametrize("masks", [["mask"], ["target_mask"], ["mask", "target_mask"]], ids=str)
def test_what_is_not_scored_may_be_anything(name, seed, masks):
    objective = OBJECTIVES[name]()
    outputs, batch = draw(objective, seed, masks)
    left_out = ~batch.scored
    anything = float("nan") if batch.targets.is_floating_point() else -100
    spoilt = outputs.detach().masked_fill(left_out[..., None], float("nan")).requires_grad_()
    found = measure(objective, spoilt, spoilt, batch._replace(targets=batch.targets.masked_fill(left_out, anything)))
    torch.testing.assert_close(found, measure(objective, outputs, outputs, batch), equal_nan=True)
    assert not found[1][left_out].any()


@of_objectives
@of_seeds
@pytest.mark.parametrize("masks", [[], ["target_mask"]], ids=str)
def test_scored_steps_alone_train_as_all_steps_do(name, seed, masks):
    objective = OBJECTIVES[name]()
    outputs, batch = draw(objective, seed, masks)
    scored = torch.ones(B, S, dtype=torch.bool) if batch.scored is None else batch.scored
    found = measure(objective, outputs, *batch.pair(ScoredSteps(outputs[scored]), objective.by_step))
    torch.testing.assert_close(found, measure(objective, outputs, outputs, batch), equal_nan=True)


@of_objectives
@of_seeds
def test_gradients_in_double_precision_are_as_precise(name, seed):
    objective = OBJECTIVES[name]()
    outputs, batch = draw(objective, seed, ["target_mask"])
    if batch.targets.is_floating_point():
        batch = batch._replace(targets=batch.targets.double())
    given = (3 * outputs.detach().double()).requires_grad_()
    assert torch.autograd.gradcheck(lambda found: objective.loss(found, batch), given)
    in_16_bits = objective.loss(given.detach().bfloat16(), batch)
    assert in_16_bits == objective.loss(given.detach().bfloat16().float(), batch)


class ScoredAlone(torch.nn.Module):
    """Hands over the outputs of scored steps in training."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = torch.nn.Parameter(outputs.detach())

    def forward(self, batch):
        return ScoredSteps(self.outputs[batch.scored]) if self.training else self.outputs


@of_objectives
def test_a_training_does_so_too(name):
    objective = OBJECTIVES[name]()
    outputs, batch = draw(objective, 0, ["target_mask"])
    module = SequenceModule(ScoredAlone(outputs), objective)
    loss, count = module.train().training_loss(batch)
    torch.testing.assert_close(loss, objective.loss(outputs, batch))
    assert count == objective.scored(batch).sum()
    metrics = objective.metrics()
    metrics.update(outputs.detach(), batch.targets, batch.scored)
    found = {key.removeprefix("train/"): value for key, value in module.train_metrics.compute().items()}
    torch.testing.assert_close(found, metrics.compute(), equal_nan=True)
