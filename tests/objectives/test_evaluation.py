"""Batches of an evaluation are joined into one."""

from __future__ import annotations

import pytest
import torch

from seqsum.objectives import Evaluation
from tests.objectives.batches import labelled

OF_THREE, OF_TWO = torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.tensor([[7, 8]])


@pytest.mark.parametrize(
    ("masks", "joined"),
    [
        ((None, None), [[True, True, True], [True, True, True], [True, True, False]]),
        (([[True] * 3, [True, False, False]], None), [[True] * 3, [True, False, False], [True, True, False]]),
        ((None, [[True, False]]), [[True] * 3, [True] * 3, [True, False, False]]),
    ],
)
def test_no_step_is_scored_that_a_shorter_batch_does_not_have(masks, joined):
    given = zip((OF_THREE, OF_TWO), masks, strict=True)
    batches = [labelled(targets, None if mask is None else torch.tensor(mask)) for targets, mask in given]
    outputs = [10 * batch.targets.unsqueeze(2) for batch in batches]
    whole = Evaluation("val", torch.nn.Identity(), None, batches[0], batches, outputs).join()
    assert whole.mask.tolist() == joined
    assert whole.targets.tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 0]]
    assert torch.equal(whole.outputs, 10 * whole.targets.unsqueeze(2))


def test_without_masks_batches_of_one_length_need_none():
    batches = [labelled(OF_THREE)] * 2
    whole = Evaluation("val", torch.nn.Identity(), None, batches[0], batches, [torch.zeros(2, 3, 1)] * 2).join()
    assert whole.mask is None
