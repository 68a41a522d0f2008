"""Write files and folders atomically, even if the program is stopped or the disk is full."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces `path` once it is completely written to the disk.

    It is in the same folder: moving a file from another disk would be a copy, which can stop halfway. After an error
    the old file is unchanged and the temporary file is deleted.

    Raises:
        OSError: `path` can't be written; it is the error's `filename`.
    """
    neighbour = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with neighbour.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(neighbour, path)
    except BaseException as error:
        neighbour.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, str(neighbour)):  # a full disk names no file
            error.filename = str(path)
        raise


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file completely or not at all; encode text as UTF-8."""
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make a folder with all files, or nothing: write a temporary folder beside it, then rename it.

    Raises:
        OSError: A file or a nonempty folder is already there, or the folder can't be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as fresh:
        complete = Path(fresh) / "complete"
        complete.mkdir()
        for name, content in files.items():
            (complete / name).write_bytes(content)
        os.rename(complete, folder)
