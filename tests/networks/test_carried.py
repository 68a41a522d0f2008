"""In training, sequences go on from the state that others of the batch have left."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from seqsum.data.base import Batch
from seqsum.errors import InputError
from seqsum.module import SequenceModule
from seqsum.networks import Flatten, SequenceNetwork, build_recurrence
from seqsum.networks.carried import run_carried


class Counter(nn.Module):
    """A recurrence that adds and subtracts in turn, and records the steps that came before each call."""

    def __init__(self):
        super().__init__()
        self.steps = []

    def forward(self, features, state=None):
        total, steps = state if state is not None else (torch.zeros(len(features), 1), 0)
        self.steps.append(steps)
        signs = torch.tensor([1.0, -1.0] * features.shape[1])[: features.shape[1]] * (-1) ** steps
        sums = total.unsqueeze(1) + (features * signs[:, None]).cumsum(1)
        return sums, (sums[:, -1], steps + features.shape[1])


def batch_of(steps=3):
    torch.manual_seed(0)
    digits = torch.randint(0, 10, (8, steps)).float()
    signs = torch.tensor([1.0, -1.0] * steps)[:steps]
    return Batch(digits.unsqueeze(-1), (digits * signs).cumsum(1))


@pytest.mark.parametrize("steps", [3, 4])
def test_a_network_that_adds_exactly_fits_the_targets_wherever_it_starts(steps):
    network = SequenceNetwork(Flatten(1), Counter(), nn.Identity(), carry=20).train()
    batch, counter = batch_of(steps), network.recurrence
    starts = []
    for seed in range(200):
        torch.manual_seed(seed)
        counter.steps = []
        assert torch.equal(network(batch).squeeze(-1), batch.targets)
        starts.append(counter.steps[-1] // steps)
        assert counter.steps == [steps * place for place in range(len(counter.steps))]
    assert set(starts) == set(range(0, 21, 2))
    assert 70 < starts.count(0) < 130  # half of the batches


def test_nothing_is_differentiated_before_the_sequence():
    torch.manual_seed(1)
    recurrence = build_recurrence("lstm", 1, 5)
    network = SequenceNetwork(Flatten(1), recurrence, nn.Linear(5, 1), carry=4).double()
    batch = batch_of().map(torch.Tensor.double)
    finals = []
    recurrence.register_forward_hook(lambda *given: finals.append(given[2][1]))
    torch.manual_seed(1)  # with which it reads others before
    outputs = run_carried(network, batch, 4)
    start = finals[-2]
    assert not any(state.requires_grad for state in start)
    again, _ = recurrence(batch.inputs, start)
    (expected,) = torch.autograd.grad(network.head(again).sum(), recurrence.cells[0].weight_hh)
    (found,) = torch.autograd.grad(outputs.sum(), recurrence.cells[0].weight_hh)
    torch.testing.assert_close(found, expected)


def test_other_sequences_come_before_each_in_another_order_each_time():
    network, batch, read = SequenceNetwork(Flatten(1), Counter(), nn.Identity(), carry=4).train(), batch_of(), []
    network.recurrence.register_forward_pre_hook(lambda _, given: read.append(given[0]))
    for seed in range(20):
        torch.manual_seed(seed)
        read.clear()
        network(batch)
        *before, last = read
        assert torch.equal(last, batch.inputs)
        for features in before:
            assert not torch.equal(features, batch.inputs)
            assert torch.equal(features.sum(1).sort(0).values, batch.inputs.sum(1).sort(0).values)
        assert len({tuple(features.flatten().tolist()) for features in before}) == len(before)


def test_evaluation_starts_from_the_initial_state():
    network, batch = SequenceNetwork(Flatten(1), Counter(), nn.Identity(), carry=20).eval(), batch_of()
    for _ in range(10):  # in training half of them would
        network(batch)
    assert network.recurrence.steps == [0] * 10


def test_sequences_of_unequal_length_are_refused():
    network = SequenceNetwork(Flatten(1), Counter(), nn.Identity(), carry=20)
    with pytest.raises(InputError, match=r"`--model\.carry` \(=20\) does not go with data of unequal lengths"):
        network(batch_of()._replace(mask=torch.ones(8, 3, dtype=torch.bool)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"carry": 1}, r"`carry` \(=1\) must be at least 2, or 0"),
        ({"carry": -2}, r"`carry` \(=-2\) must be at least 2, or 0"),
        ({"carry": 4, "bidirectional": True}, r"`carry` \(=4\) does not go with `bidirectional`"),
        ({"carry": 4, "readout": "last"}, r"`carry` \(=4\) does not go with `readout`"),
        ({"carry": 4, "truncate": 2}, r"`carry` \(=4\) does not go with `truncate`"),
    ],
)
def test_what_can_not_be_carried_on_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SequenceModule(encoder=Flatten(1), **options)
