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


def test_shares_are_those_of_the_variance_of_vectors_of_length_one():
    vectors = torch.randn(20, 5, generator=torch.Generator().manual_seed(0)).double() * torch.arange(1, 21).unsqueeze(1)
    places, shares = project(vectors)
    variances = torch.linalg.eigvalsh((vectors / vectors.norm(dim=1, keepdim=True)).T.cov()).flip(0)
    torch.testing.assert_close(shares, variances[:2] / variances.sum(), rtol=1e-5, atol=0)
    torch.testing.assert_close(places.T.cov(), variances[:2].diag(), rtol=1e-5, atol=1e-7)
