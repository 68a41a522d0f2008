"""Means and steps as all figures show them."""

from __future__ import annotations

import math

import pytest
import torch

from seqsum.figures.style import dots, mean_by_step, shown_steps


def test_a_mean_by_step_is_that_of_the_sequences_that_have_the_step():
    mask = torch.tensor([[True, True, False], [True, False, False]])
    found = mean_by_step(torch.tensor([[1.0, 2.0, 9.0], [3.0, torch.nan, 9.0]]), mask)
    assert found.tolist() == pytest.approx([2, 2, math.nan], nan_ok=True)


@pytest.mark.parametrize("most", [4, 7, 10])
@pytest.mark.parametrize("length", [*range(1, 130), *range(130, 3000, 67), 10**5])
def test_no_more_steps_are_numbered_than_fit(length, most):
    steps = shown_steps(length, most)
    assert 1 <= len(steps) <= most
    assert 1 <= steps[0] <= steps[-1] <= length
    assert length - steps[-1] < steps.step, "up to the end"


@pytest.mark.parametrize(
    ("length", "steps"),
    [
        (4, [1, 2, 3, 4]),
        (28, [1, 5, 9, 13, 17, 21, 25]),
        (300, [100, 200, 300]),
        (1000, [500, 1000]),
    ],
)
def test_many_steps_are_numbered_by_round_ones(length, steps):
    assert list(shown_steps(length, most=8)) == steps


def test_a_line_of_many_points_has_no_dots():
    assert dots(28, 5) == {"marker": "o", "markersize": 5}
    assert dots(300, 5) == {}
