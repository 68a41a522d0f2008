"""Free-running prediction, compared with reading the whole sequence anew at each step."""

import pytest
import torch
from torch import nn

from seqsum.data.base import unlabelled
from seqsum.networks import Flatten, SequenceNetwork, build_recurrence
from seqsum.networks.free_run import free_run


@pytest.mark.parametrize("cell", ["rnn", "irnn", "gru", "lstm", "torch_lstm"])
@pytest.mark.parametrize("given", [1, 5])
def test_free_run_is_reading_all_that_was_said_so_far(cell, given):
    torch.manual_seed(0)
    network = SequenceNetwork(Flatten(1), build_recurrence(cell, 1, 6), nn.Linear(6, 1))
    samples = torch.randn(3, given, 1)
    with torch.no_grad():
        found = free_run(network, samples, 4)
        for step in range(4):
            following = network(unlabelled(samples))[:, -1:]
            torch.testing.assert_close(found[:, step], following[:, 0, 0])
            samples = torch.cat([samples, following], dim=1)
    assert found.shape == (3, 4)
    assert found.std() > 0.01


def test_the_recurrence_of_a_sine_runs_on_exactly():
    """x(t+1) = 2 cos(ω) x(t) - x(t-1), as a network whose state is the last two samples."""

    class LastTwo(nn.Module):
        def forward(self, inputs, state=None):
            state = torch.zeros(len(inputs), 2) if state is None else state
            outputs = []
            for sample in inputs.unbind(1):
                state = torch.cat([sample, state[:, :1]], dim=1)
                outputs.append(state)
            return torch.stack(outputs, 1), state

    frequency = torch.tensor(0.3)
    head = nn.Linear(2, 1, bias=False)
    head.weight.data = torch.stack([2 * frequency.cos(), -torch.ones(())])[None]
    curve = torch.sin(frequency * torch.arange(60))
    found = free_run(SequenceNetwork(Flatten(1), LastTwo(), head), curve[None, :10, None], 50)
    torch.testing.assert_close(found[0], curve[10:], rtol=0, atol=1e-4)
