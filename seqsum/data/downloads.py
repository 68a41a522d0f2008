"""Downloads that leave nothing incomplete behind."""

from __future__ import annotations

import socket
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

from seqsum.errors import InputError
from seqsum.files import move

DEFAULT_ROOT = "data"


class MissingDataError(InputError):
    """A dataset is not on disk and can't be downloaded."""


def warn_of_unused(root: str | Path, real: str, stand_in: str) -> None:
    """Say that real data that a user points to are not used, since a checkpoint or a flag names what stands in."""
    warnings.warn(
        f"`--data.root` (={root}) holds {real} and has no effect: `--data.dataset` is {stand_in}, as given or from the "
        f"checkpoint. `--data.dataset={real}` reads the real data",
        stacklevel=3,
    )


@contextmanager
def downloading(what: str, root: Path, missing: Sequence[Path] = ()) -> Iterator[Path]:
    """Yield a temporary folder inside `root` to download into; `move_to_place` moves what is complete.

    Args:
        what: Name of the dataset, for the message.
        root: Folder of the datasets; made, and deleted again if the download fails.
        missing: The dataset's files that are not there, for the message.

    Raises:
        MissingDataError: The download failed, or `root` can't be written to.
    """
    if root.exists() and not root.is_dir():
        raise MissingDataError(f"`--data.root` (={root}) is a file, and must be a folder: the one that holds {what}.")
    created = [folder for folder in (root, *root.parents) if not folder.exists()]  # innermost first
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=".download-") as fresh, _timeout(seconds=20):
            yield Path(fresh)
    except (RuntimeError, OSError, HTTPException) as error:  # RuntimeError: every mirror failed, or a wrong checksum
        for folder in created:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        reason = " ".join(str(error).split())  # on one line
        seen = "" if root.is_absolute() else f", seen from {Path.cwd()}"  # a checkpoint's may be of another folder
        message = f"`--data.root` (={root}) does not hold {what}{seen}{_name_first(missing, root)}"
        message += f", and downloading it failed ({reason})."
        if "CERTIFICATE_VERIFY_FAILED" in reason:
            message += " Python has no certificates: on a Mac, run `Install Certificates.command` in Python's folder."
        raise MissingDataError(message) from error


def move_to_place(files: Iterable[Path], fresh: Path, root: Path) -> None:
    """Move complete files from below the temporary folder `fresh` to the same place below `root`."""
    for file in files:
        place = root / file.relative_to(fresh)
        place.parent.mkdir(parents=True, exist_ok=True)
        move(file, place)


def _name_first(missing: Sequence[Path], root: Path) -> str:
    if not missing:
        return ""
    others = f" and {len(missing) - 1} more files are" if len(missing) > 1 else " is"
    return f" ({missing[0].relative_to(root)}{others} missing)"


@contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    """Set a socket timeout: torchvision has none, and would hang for ever on a network that drops packets."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
