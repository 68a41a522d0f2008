"""The running sum's loss and metrics, compared with numbers computed by hand."""

import math

import pytest
import torch

from seqsum.objectives import RunningSum, masked_mean
from tests.objectives.batches import labelled

TARGETS = torch.tensor([[3.0, 1.0, 6.0], [2.0, 2.0, -1.0]])
OUTPUTS = torch.tensor([[3.2, 1.4, 6.6], [2.0, 4.0, -1.1]])  # errors .2 .4 .6 and 0 2 -.1
MASK = torch.tensor([[True, True, True], [True, True, False]])


def test_squared_error_is_the_limit_of_beta():
    objective = RunningSum(beta=math.inf, increment_weight=0)
    expected = (0.04 + 0.16 + 0.36 + 0 + 4 + 0.01) / 6
    assert objective.loss(OUTPUTS[..., None], labelled(TARGETS)).item() == pytest.approx(expected, rel=1e-5)


def test_smooth_l1_is_quadratic_below_beta_and_linear_above():
    objective = RunningSum(beta=0.5, increment_weight=0)
    expected = (0.04 + 0.16 + 0 + 0.01) / 6 + ((0.6 - 0.25) + (2 - 0.25)) / 6  # d²/(2·0.5), |d| - 0.25
    assert objective.loss(OUTPUTS[..., None], labelled(TARGETS)).item() == pytest.approx(expected, rel=1e-5)


def test_increments_are_weighted():
    sums, both = RunningSum(beta=0, increment_weight=0), RunningSum(beta=0, increment_weight=0.5)
    increment_errors = (0.2 + 0.2 + 0.2 + 0 + 2 + 2.1) / 6
    difference = both.loss(OUTPUTS[..., None], labelled(TARGETS)) - sums.loss(OUTPUTS[..., None], labelled(TARGETS))
    assert difference.item() == pytest.approx(0.5 * increment_errors, rel=1e-5)


def test_masked_steps_count_for_nothing():
    objective = RunningSum(beta=0, increment_weight=0)
    assert objective.loss(OUTPUTS[..., None], labelled(TARGETS, MASK)).item() == pytest.approx(
        (0.2 + 0.4 + 0.6 + 0 + 2) / 5
    )
    assert masked_mean(OUTPUTS, torch.zeros_like(MASK)).item() == 0
    assert objective.loss(OUTPUTS[:0, :, None], labelled(TARGETS[:0])).item() == 0  # a process without rows


def test_increments_skip_masked_steps():
    objective = RunningSum(beta=0, increment_weight=0.5)
    mask = torch.tensor([[True, False, True], [False, True, True]])
    both = objective.loss(OUTPUTS[..., None], labelled(TARGETS, mask))
    of_each = [
        objective.loss(sums[valid][None, :, None], labelled(targets[valid][None]))
        for sums, targets, valid in zip(OUTPUTS, TARGETS, mask, strict=True)
    ]
    assert both.item() == pytest.approx(sum(of_each).item() / 2)


def test_metrics_by_hand():
    metrics = RunningSum().metrics()
    metrics.update(OUTPUTS[..., None], TARGETS)  # right: yes yes no, yes no yes
    values = {name: value.item() for name, value in metrics.compute().items()}
    assert values == pytest.approx({"exact_step": 4 / 6, "exact_final": 1 / 2, "mae": 3.3 / 6}, rel=1e-5)
    assert metrics["exact_step"].by_step().tolist() == [1.0, 0.5, 0.5]


def test_final_step_is_the_last_valid_one():
    metrics = RunningSum().metrics()
    mask = torch.tensor([[True, True, False], [True, False, False]])
    metrics.update(OUTPUTS[..., None], TARGETS, mask)  # right at steps 2 and 1
    assert metrics["exact_final"].compute().item() == 1
    metrics.update(OUTPUTS[..., None], TARGETS, MASK)  # wrong at steps 3 and 2
    assert metrics["exact_final"].compute().item() == 0.5


def test_metrics_add_up_over_batches_of_different_length():
    metrics = RunningSum().metrics()
    metrics.update(OUTPUTS[:, :1, None], TARGETS[:, :1])
    metrics.update(OUTPUTS[..., None], TARGETS)
    metrics.update(OUTPUTS[:, :2, None], TARGETS[:, :2])
    assert metrics["exact_step"].compute().item() == pytest.approx((2 + 4 + 3) / 12)
    assert metrics["exact_step"].by_step().tolist() == pytest.approx([1.0, 0.5, 0.5])
    metrics.reset()
    assert metrics["exact_step"].total.numel() == 0


@pytest.mark.parametrize("name", ["beta", "increment_weight"])
def test_negative_weights_are_refused(name):
    with pytest.raises(ValueError, match=rf"`{name}` \(=-1.0\) must be at least 0"):
        RunningSum(**{name: -1.0})
