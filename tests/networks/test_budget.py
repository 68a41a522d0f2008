"""The largest network within a number of parameters."""

import pytest
import torch
from torch import nn

from seqsum.errors import InputError
from seqsum.networks import build_recurrence
from seqsum.networks.budget import count_parameters, largest_size


@pytest.mark.parametrize("cell", ["rnn", "irnn", "gru", "lstm"])
@pytest.mark.parametrize("budget", [50, 777, 46_210])
def test_largest_size_fits_and_one_more_does_not(cell, budget):
    def build(size):
        with torch.device("meta"):
            return nn.Sequential(build_recurrence(cell, 2, size), nn.Linear(size, 3))

    size = largest_size(build, budget)
    assert count_parameters(build(size)) <= budget < count_parameters(build(size + 1))


def test_lstm_has_about_half_the_units_of_an_rnn():
    sizes = {}
    for cell in ("rnn", "lstm"):
        sizes[cell] = largest_size(lambda size, cell=cell: build_recurrence(cell, 11, size), 40_000)
    assert 1.9 < sizes["rnn"] / sizes["lstm"] < 2.1  # a quarter of the weights for each unit, and H² of them


def test_a_budget_below_the_smallest_network_is_refused():
    with pytest.raises(InputError, match=r"`budget` \(=11\) must be at least 12, "):
        largest_size(lambda size: nn.Linear(5, 2 * size), 11)


def test_a_budget_may_be_spent_to_the_last():
    def build(size):
        return nn.Linear(size, 3)

    for size in range(1, 10):
        assert largest_size(build, count_parameters(build(size))) == size
        assert largest_size(build, count_parameters(build(size)) + 2) == size
