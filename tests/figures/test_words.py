"""Word vectors in a plane."""

from __future__ import annotations

import pytest
import torch

from seqsum.figures.words import project


def test_words_are_projected_from_their_middle():
    vectors = torch.tensor([[9.0, 1.0, 0.1], [9.0, -1.0, 0.1], [9.0, 0.5, -0.2]])
    places, shares = project(vectors)
    assert places.mean(0).tolist() == pytest.approx([0, 0], abs=1e-6)
    assert shares.sum().item() == pytest.approx(1)
