"""Write files and folders atomically, even if the program is stopped or the disk is full."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

# on Windows a virus scanner or an indexer holds new files for some milliseconds
WAITS = (0.05, 0.1, 0.2, 0.4, 0.8) if os.name == "nt" else ()


def move(source: Path, target: Path) -> None:
    """Give a file or a folder another name, and replace the file that has it; try again while another program holds it.

    Raises:
        OSError: It can't be moved.
    """
    for seconds in WAITS:
        try:
            os.replace(source, target)
        except PermissionError:
            time.sleep(seconds)
        else:
            return
    os.replace(source, target)


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
        move(neighbour, path)
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
        if os.name == "nt" and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()  # which Windows does not replace
        move(complete, folder)
