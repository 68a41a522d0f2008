"""The next sample: squared error at every step."""

import pytest
import torch
from torch.nn import functional as F

from seqsum.objectives import NextSample
from tests.objectives.batches import labelled


def test_loss_and_metrics_are_torch_s():
    torch.manual_seed(0)
    outputs, targets = torch.randn(4, 7, 1, requires_grad=True), torch.randn(4, 7)
    objective = NextSample()
    loss = objective.loss(outputs, labelled(targets))
    torch.testing.assert_close(loss.float(), F.mse_loss(outputs[..., 0], targets))
    metrics = objective.metrics()
    metrics.update(outputs[:1], targets[:1])
    metrics.update(outputs[1:], targets[1:])
    found = metrics.compute()
    torch.testing.assert_close(found["mse"], loss.detach().float())
    torch.testing.assert_close(found["mae"], F.l1_loss(outputs.detach()[..., 0], targets))
    loss.backward()
    assert (outputs.grad != 0).all()


def test_masked_steps_do_not_count():
    outputs, targets = torch.zeros(1, 3, 1), torch.tensor([[1.0, 2.0, 100.0]])
    mask = torch.tensor([[True, True, False]])
    assert NextSample().loss(outputs, labelled(targets, mask)) == pytest.approx(2.5)


def test_a_horizon_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"`horizon` \(=0\) must be at least 1"):
        NextSample(horizon=0)
