"""Means and steps as all figures show them."""

from __future__ import annotations

import math

import pytest
import torch

from seqsum.figures.style import mean_by_step, shown_steps


def test_a_mean_by_step_is_that_of_the_sequences_that_have_the_step():
    mask = torch.tensor([[True, True, False], [True, False, False]])
    found = mean_by_step(torch.tensor([[1.0, 2.0, 9.0], [3.0, torch.nan, 9.0]]), mask)
    assert found.tolist() == pytest.approx([2, 2, math.nan], nan_ok=True)


@pytest.mark.parametrize("length", range(1, 100))
def test_no_more_steps_are_numbered_than_fit(length):
    assert 1 <= len(shown_steps(length)) <= 10
