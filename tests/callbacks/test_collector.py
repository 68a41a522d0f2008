"""What is kept of a test for its figures."""

from __future__ import annotations

import torch

from seqsum.callbacks import collector
from seqsum.callbacks.collector import Collector
from seqsum.data import Batch


def test_of_outputs_that_do_not_fit_the_first_batch_is_kept_and_all_are_counted(monkeypatch):
    monkeypatch.setattr(collector, "MOST", 1)
    found = Collector()
    for _ in range(2):
        found.add(Batch(torch.zeros(3, 2), torch.zeros(3, 2)), torch.zeros(3, 2, 4))
    assert (len(found.outputs), found.seen) == (1, 6)
    assert found.first is not None
