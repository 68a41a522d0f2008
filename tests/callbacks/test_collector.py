"""What is kept of a test for its figures."""

from __future__ import annotations

import torch
from torch import nn

from seqsum.callbacks import collector
from seqsum.callbacks.collector import Collector
from seqsum.data import Batch, SequenceData
from seqsum.data.base import unlabelled
from seqsum.networks import SequenceNetwork, build_recurrence


def test_of_outputs_that_do_not_fit_the_first_batch_is_kept_and_all_are_counted(monkeypatch):
    monkeypatch.setattr(collector, "MOST", 1)
    found, batches = Collector(), [Batch(torch.zeros(3, 2), torch.zeros(3, 2)) for _ in range(2)]
    for batch in batches:
        found.add(batch, torch.zeros(3, 2, 4))
    assert (len(found.outputs), found.seen) == (1, 6)
    assert found.first is batches[0]


def test_the_first_of_all_batches_is_shown():
    found, batches = Collector(), [Batch(torch.zeros(3, 2), torch.zeros(3, 2)) for _ in range(2)]
    for batch in batches:
        found.add(batch, torch.zeros(3, 2, 4))
    assert found.first is batches[0]
    assert len(found.outputs) == 2


def test_without_a_sequence_there_is_nothing_to_show():
    found = Collector()
    found.add(Batch(torch.zeros(0, 2), torch.zeros(0, 2)), torch.zeros(0, 2, 4))
    assert found.evaluation("test", nn.Identity(), SequenceData()) is None


def test_nothing_is_recorded_after_a_test_that_broke_off():
    network = SequenceNetwork(nn.Identity(), build_recurrence("lstm", 3, 4, 1), nn.Linear(4, 1))
    found = Collector()
    found.start(network, unlabelled(torch.zeros(1, 2, 3)))
    found.clear()
    network.recurrence(torch.zeros(1, 2, 3))
    assert found.recorded == {}
