"""Each finding is right on both sides of its threshold."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from seqsum.diagnosis import findings


def name_of(finding):
    return finding and finding.name


@pytest.mark.parametrize(
    ("mean", "spread", "name"),
    [
        (0.0, 1.0, None),
        (0.13, 0.31, None),  # MNIST's pixels in [0, 1]
        (0.1, 0.3, None),  # one of ten, one-hot
        (3.0, 3.9, None),
        (3.2, 4.0, "inputs not normalised"),
        (33.0, 78.0, "inputs not normalised"),
        (0.0, 0.011, None),
        (0.0, 0.009, "inputs not normalised"),
    ],
)
def test_unscaled_inputs(mean, spread, name):
    noise = torch.randn(32, 4, 1, 7, 7, generator=torch.Generator().manual_seed(0))
    inputs = (noise - noise.mean()) / noise.std() * spread + mean
    assert name_of(findings.unscaled_inputs(inputs)) == name


def test_whole_numbers_have_no_scale():
    assert findings.unscaled_inputs(torch.arange(20_000).unflatten(0, (100, 200))) is None


@pytest.mark.parametrize(
    ("reach", "name"),
    [
        (findings.VANISHED / 1.1, "vanishing gradients"),
        (findings.VANISHED * 1.1, None),
        (1.0, None),
        (findings.EXPLODED / 1.1, None),
        (findings.EXPLODED * 1.1, "exploding gradients"),
        (float("inf"), "exploding gradients"),
        (float("nan"), "exploding gradients"),  # infinity times zero
    ],
)
def test_gradient_over_time(reach, name):
    norms = torch.tensor([[reach, 7.0, 2.0], [reach, 1.0, 2.0], [reach, 0.0, 2.0]]) * torch.tensor([2.0, 1, 1])
    assert name_of(findings.gradient_over_time(norms)) == name


@pytest.mark.parametrize(
    ("steps", "each", "name"),
    [
        (100, 0.61, None),  # 1e-21 in all, but it fades no faster than where an LSTM learns
        (100, 0.59, "vanishing gradients"),
        (20, 0.53, "vanishing gradients"),
        (20, 0.57, None),
        (300, 0.61, None),  # beyond what float32 can hold, so there is no telling
    ],
)
@pytest.mark.parametrize("masked", [False, True])
def test_gradients_of_long_sequences_may_fade_by_the_step(steps, each, name, masked):
    norms = 3 * each ** torch.arange(steps).flip(0).float().expand(4, -1)
    mask = None
    if masked:  # steps that are none behind those that are
        norms, mask = nn.functional.pad(norms, (0, 400)), torch.arange(steps + 400).expand(4, -1) < steps
    assert name_of(findings.gradient_over_time(norms, mask)) == name


def test_a_gradient_fades_with_each_step_but_the_first():
    norms = 0.595 ** torch.arange(24).flip(0).float().expand(4, -1)  # 23 factors, at most 0.6 each
    assert name_of(findings.gradient_over_time(norms)) == "vanishing gradients"


def test_gradient_over_time_is_that_of_the_valid_steps():
    norms = torch.tensor([[0.0, 8.0, 4.0, 0.0], [9.0, 5.0, 5.0, 3.0], [0.0, 6.0, 0.0, 0.0]])
    mask = torch.tensor([[0, 1, 1, 0], [1, 1, 1, 1], [0, 1, 0, 0]]).bool()
    assert findings.reach_back(norms[:1], mask[:1]) == 2.0
    assert findings.reach_back(norms[1:], mask[1:]) == 3.0  # one step alone has no time
    assert findings.reach_back(norms[:, :1]) is None
    overflowing = torch.tensor([[torch.nan, torch.inf, 1.0], [0.0, 0.0, 0.0], [torch.inf, 1.0, 1.0]])
    assert findings.reach_back(overflowing) == torch.inf


def test_the_number_of_steps_is_that_of_the_sequences_and_not_of_the_padding():
    norms, mask = torch.ones(3, 100), torch.arange(100) < torch.tensor([[2], [3], [4]])
    norms[:, 0] = 1e9
    assert "1.0e+09 times as large at the first of 3 steps (" in findings.gradient_over_time(norms, mask).words


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0)])
def test_saturated_units(low, high):
    values = torch.full((10, 4, 25), (low + high) / 2)
    extreme = torch.tensor([low, high]).repeat(500)
    values.flatten()[:900] = extreme[:900]
    assert findings.saturated(values, low, high) is None
    values.flatten()[:901] = extreme[:901]
    assert findings.saturated(values, low, high).name == "saturated units"
    inside = extreme * 0.975 + (low + high) / 2 * 0.025  # more than one in a hundred from the bounds
    assert findings.saturated(inside, low, high) is None
    near = extreme * 0.985 + (low + high) / 2 * 0.015  # less than one in a hundred of the distance between them
    assert findings.saturated(near, low, high).name == "saturated units"


def test_dead_units():
    active = torch.arange(100) >= round(100 * findings.DEAD_SHARE)
    assert findings.dead_units(active) is None
    active = torch.arange(100) > round(100 * findings.DEAD_SHARE)
    assert findings.dead_units(active).name == "dead units"


def test_a_unit_is_active_where_it_ever_was():
    values = torch.zeros(5, 3, 2, 2)
    values[4, 1, 0, 1], values[0, 2, 1, 1] = 0.1, -0.1
    assert findings.ever_active(values).tolist() == [False, True, True]


@pytest.mark.parametrize(("change", "name"), [(0.9, None), (1.1, "learning rate too large")])
def test_large_update(change, name):
    before = torch.tensor([[3.0, 4.0]])
    after = before + torch.tensor([[0.0, 5.0]]) * findings.LARGEST_UPDATE * change
    assert name_of(findings.large_update(findings.relative_change(before, after))) == name


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0])
def test_small_weights_are_measured_by_the_usual_size(scale):
    weights = nn.Linear(300, 200).weight.detach()
    change = torch.full_like(weights, 0.01 * 300**-0.5)  # 1 % of the bound
    assert findings.relative_change(scale * weights, scale * weights + change) == pytest.approx(0.0173, rel=0.05)


def test_loss():
    assert findings.diverged_loss(9.9, 1.0) is None
    assert findings.diverged_loss(10.1, 1.0).name == "loss diverges"
    assert findings.low_loss(0.0) is None
    assert findings.low_loss(-1e-3).name == "wrong loss"
    assert findings.low_loss(-1e9, lowest=-torch.inf) is None


@pytest.mark.parametrize(("factor", "name"), [(1.1, None), (0.9, "predictions out of reach of the targets")])
@pytest.mark.parametrize("scale", [0.01, 1, 100])
def test_flat_predictions(factor, name, scale):
    targets = scale * torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    assert name_of(findings.flat_predictions(targets * findings.FLAT * factor + 3, targets)) == name


def test_one_row_among_many_does_not_decide():
    norms = torch.ones(5, 3)
    norms[0, 0] = 1e9
    assert findings.reach_back(norms) == 1.0


def test_a_loss_below_zero_may_rise_a_little():
    assert findings.diverged_loss(-3.0, -3.1) is None
    assert findings.diverged_loss(32.0, -3.1).name == findings.DIVERGING
