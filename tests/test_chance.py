"""That random numbers were drawn on the host is noticed, and the same ones can be drawn again."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from seqsum.chance import HostChance

OWN = [
    (random.Random(0), lambda own: own.random()),
    (np.random.RandomState(0), lambda own: own.rand()),  # users have old ones too
    (np.random.default_rng(0), lambda own: own.random()),
    (np.random.Generator(np.random.MT19937(0)), lambda own: own.random()),  # its state holds an array
    (torch.Generator().manual_seed(0), lambda own: torch.rand(3, generator=own).tolist()),
]
SHARED = [
    (None, lambda _: random.random()),
    (None, lambda _: np.random.rand()),  # noqa: NPY002  # users draw from it
    (None, lambda _: torch.rand(3).tolist()),
]


@pytest.mark.parametrize(("own", "draw"), [*OWN, *SHARED])
def test_a_draw_is_noticed_and_taken_back(own, draw):
    chance = HostChance(["no generator", own, torch.zeros(2)])
    assert not chance.has_moved()
    drawn = draw(own)
    assert chance.has_moved()
    chance.put_back()
    assert not chance.has_moved()
    assert draw(own) == drawn
