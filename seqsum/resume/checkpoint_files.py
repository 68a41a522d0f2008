"""How checkpoints are written and read by Lightning: whole or not at all, and as data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from seqsum.errors import InputError
from seqsum.files import replacing
from seqsum.resume.checkpoints import load_checkpoint


class CheckpointFiles(TorchCheckpointIO):
    """Writes a whole checkpoint or none, and reads nothing but data, once.

    Lightning's own would write into the system's temporary folder and move the file from there, which is a
    copy that can stop halfway where that folder lies on another disk.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ahead: dict[str, dict[str, Any]] = {}

    def read_ahead(self, path: str) -> dict[str, Any]:
        """Read a checkpoint before Lightning asks for it, which then gets the same: a file is read once.

        Raises:
            InputError: See `load_checkpoint`.
        """
        if path not in self.ahead:
            self.ahead[path] = load_checkpoint(path)
        return self.ahead[path]

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint to the disk in place of the one at `path`.

        Raises:
            InputError: The disk is full, or the folder can't be written to. What was at `path` is still there.
        """
        path = Path(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as file:
                torch.save(checkpoint, file)
        except (OSError, RuntimeError) as error:  # torch's writer hides what the system said in a RuntimeError
            kept = f"; the last good one is still at {path}" if path.exists() else ""
            raise InputError(f"the checkpoint {path} can't be written ({_reason(error)}){kept}") from error

    def load_checkpoint(self, path: str | Path, map_location: Any = "cpu", weights_only: Any = True) -> dict[str, Any]:
        """Read it as data, whatever Lightning or the environment would rather have."""
        found = self.ahead.pop(str(path), None)  # which Lightning changes, so it is not kept
        return load_checkpoint(str(path)) if found is None else found


def _reason(error: BaseException) -> str:
    """What the system said, in this error or in the one behind it."""
    if isinstance(error, OSError) or error.__context__ is None:
        return str(error).splitlines()[0]
    return _reason(error.__context__)
