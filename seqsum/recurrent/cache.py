"""The folder in which the package keeps what takes long to make: compiled kernels, encoded texts."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path


def cache_folder() -> Path:
    """Return `$XDG_CACHE_HOME/seqsum` or `~/.cache/seqsum`; if that can't be written to, one for this process alone."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seqsum"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # the home folder isn't writable, or there is none
        return _temporary_folder()
    return folder if os.access(folder, os.W_OK) else _temporary_folder()


@cache
def _temporary_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="seqsum-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
