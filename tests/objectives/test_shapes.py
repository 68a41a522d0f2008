"""Outputs of other shapes than `(B, S, K)`, as a network of one's own may give, are refused by every objective."""

import re

import pytest
import torch

from seqsum.data import Batch
from seqsum.errors import InputError
from seqsum.objectives import Classification, Increments, NextSample, NextToken, Recall, Restoration, RunningSum

B, S = 4, 3
OBJECTIVES = [
    Classification(5),
    Classification(2),
    Classification(2, sigmoid=True),
    Increments(),
    NextSample(),
    NextToken(6),
    Recall(),
    Restoration(),
    RunningSum(),
]


def make_batch(objective, masked):
    whole = not isinstance(objective, NextSample | Restoration | RunningSum)
    targets = torch.zeros(B, S, dtype=torch.long) if whole else torch.zeros(B, S)
    return Batch(
        torch.zeros(B, S, 1), targets, torch.arange(S) < torch.tensor([[3], [1], [2], [3]]) if masked else None
    )


@pytest.mark.parametrize(
    "objective", OBJECTIVES, ids=lambda objective: f"{type(objective).__name__}-{objective.output_size}"
)
@pytest.mark.parametrize("masked", [False, True])
def test_outputs_that_torch_would_broadcast_are_refused(objective, masked):
    batch, size = make_batch(objective, masked), objective.output_size
    assert objective.loss(torch.zeros(B, S, size), batch).isfinite()
    for shape in ((B, 1, size), (1, S, size), (B, S), (B,), (S,), (), (B, S, size + 1), (B, S, size, 1), (S, B, size)):
        said = rf"^the network's outputs of shape {re.escape(str(shape))} must be of \(4, 3, {size}\), \(B, S, K\)"
        with pytest.raises(InputError, match=said):
            objective.loss(torch.zeros(shape), batch)
