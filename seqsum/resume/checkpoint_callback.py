"""Base class of the callbacks that write checkpoints."""

from __future__ import annotations

from functools import cached_property

from lightning.pytorch.callbacks import ModelCheckpoint


class CheckpointCallback(ModelCheckpoint):
    """Lightning's ModelCheckpoint, with a cached `state_key`."""

    @cached_property
    def state_key(self) -> str:
        """Lightning's key, built once instead of for each hook of each step."""
        return super().state_key
