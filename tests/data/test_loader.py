"""The loader of batches that are made on the device."""

from __future__ import annotations

from seqsum.data.loader import BatchLoader


def test_only_the_epoch_that_was_resumed_leaves_batches_out():
    loader = BatchLoader([0, 1, 2, 3], batch_size=None)
    loader.load_state_dict({"served": 3})
    assert [[int(batch) for batch in loader] for _ in range(2)] == [[3], [0, 1, 2, 3]]
