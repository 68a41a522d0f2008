"""Write checkpoints atomically, and read them as data."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from seqsum.checkpoint_file import load_checkpoint
from seqsum.errors import InputError
from seqsum.files import replacing


class CheckpointFiles(TorchCheckpointIO):
    """Write checkpoints atomically, and read each only once, as data.

    Lightning would write to the system's temporary folder and move the file. From another disk that is a copy, which
    can stop halfway.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ahead: dict[str, dict[str, Any]] = {}

    def read_ahead(self, path: str) -> dict[str, Any]:
        """Read a checkpoint in advance, and keep it for Lightning's first request.

        Raises:
            InputError: See `load_checkpoint`.
        """
        if path not in self.ahead:
            self.ahead[path] = load_checkpoint(path)
        return self.ahead[path]

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint to `path`, replacing the file there only when it is complete.

        Raises:
            InputError: The disk is full, or the folder can't be written to. The old file is still there.
        """
        with _written(Path(path)) as file:
            torch.save(checkpoint, file)

    def copy(self, former: str, path: str | Path) -> None:
        """Copy a checkpoint with the time at which it was written: by that, `--ckpt_path=last` finds the newest.

        Raises:
            InputError: See `save_checkpoint`.
        """
        with open(former, "rb") as source, _written(Path(path)) as file:
            shutil.copyfileobj(source, file)
        written = Path(former).stat()
        os.utime(path, ns=(written.st_atime_ns, written.st_mtime_ns))

    def load_checkpoint(self, path: str | Path, map_location: Any = "cpu", weights_only: Any = True) -> dict[str, Any]:
        """Read a checkpoint as data, even if Lightning or the environment asks for `weights_only=False`."""
        found = self.ahead.pop(str(path), None)  # not kept, since Lightning changes it
        return load_checkpoint(str(path)) if found is None else found


@contextmanager
def _written(path: Path) -> Iterator[BinaryIO]:
    """Open a file that becomes the checkpoint at `path` when it is complete."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            yield file
    except (OSError, RuntimeError) as error:  # torch's writer turns an OSError into a RuntimeError
        kept = f"; the last good one is still at {path}" if path.exists() else ""
        raise InputError(f"the checkpoint {path} can't be written ({_reason(error)}){kept}") from error


def _reason(error: BaseException) -> str:
    """Message of the operating system, from this error or its context."""
    if isinstance(error, OSError) or error.__context__ is None:
        return str(error).splitlines()[0]
    return _reason(error.__context__)
