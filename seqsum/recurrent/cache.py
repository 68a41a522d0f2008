"""The folder in which the package keeps what takes long to make: compiled kernels, encoded texts."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def cache_folder() -> Path:
    """Return `$XDG_CACHE_HOME/seqsum` or `~/.cache/seqsum`; a new temporary folder if that can't be written to."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seqsum"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # the home folder isn't writable
        return Path(tempfile.mkdtemp(prefix="seqsum-"))
    return folder if os.access(folder, os.W_OK) else Path(tempfile.mkdtemp(prefix="seqsum-"))
