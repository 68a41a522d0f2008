"""Files and folders that are whole or not there, whenever a program is stopped or a disk is full."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write into that takes the place of `path` once all is written and on the disk.

    It is a neighbour of `path` until then: moving a file from another disk would be a copy, which can stop halfway.
    An error leaves what was at `path`, and nothing beside it.
    """
    neighbour = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with neighbour.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(neighbour, path)
    except BaseException:
        neighbour.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a whole file or none; a text as UTF-8."""
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make a folder with all the files, or nothing: they go into a neighbour first, which then takes its place.

    Raises:
        OSError: There is something in that place, or it can't be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as fresh:
        complete = Path(fresh) / "complete"
        complete.mkdir()
        for name, content in files.items():
            (complete / name).write_bytes(content)
        os.rename(complete, folder)
