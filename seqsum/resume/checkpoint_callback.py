"""What the callbacks that write checkpoints share."""

from __future__ import annotations

from functools import cached_property

from lightning.pytorch.callbacks import ModelCheckpoint


class CheckpointCallback(ModelCheckpoint):
    """Lightning's own, whose name costs no time in each step."""

    @cached_property
    def state_key(self) -> str:
        """Lightning's own, put together once, and not for each hook of each step."""
        return super().state_key
