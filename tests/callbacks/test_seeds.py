"""Random numbers depend on the current step alone."""

from __future__ import annotations

import pytest
import torch

from seqsum.callbacks.seeds import seed_generators


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_the_generator_starts_where_torch_would_start_it(device):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.rand(7)
    seed_generators(5, torch.device(device))
    assert torch.equal(torch.rand(3), expected)


def test_devices_that_are_not_in_use_are_left_alone(monkeypatch):
    """torch would record a traceback for each of them at every step."""
    monkeypatch.setattr("torch.manual_seed", None)
    seed_generators(5, torch.device("cpu"))
