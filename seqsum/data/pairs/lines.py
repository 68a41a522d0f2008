"""Text files of one sentence or pair a line, packed by gzip or not."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from seqsum.data.text.sentences import normalise
from seqsum.data.text.tokens import NotTextError, decode
from seqsum.errors import InputError

MAGIC = b"\x1f\x8b"  # what a gzip file begins with


def read_lines(path: Path, flag: str) -> list[str]:
    """Read a file's lines, without the space at their ends; empty lines at the file's end are ignored.

    Args:
        path: A text file; if its name ends in `.gz` or it begins as gzip files do, it is unpacked.
        flag: The flag that named the file or its folder, for messages.

    Raises:
        InputError: The file can't be read, is damaged, is no text, has no sentence, or an empty line before the last.
    """
    try:
        content = path.read_bytes()
        packed = path.suffix == ".gz" or content.startswith(MAGIC)
        text = decode(gzip.decompress(content) if packed else content)
    except NotTextError as error:
        raise InputError(f"`{flag}`: {path} {error}") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"`{flag}`: {path} is damaged or ends early ({error}). Replace it by a whole one.") from error
    except OSError as error:
        raise InputError(f"`{flag}`: {path} can't be read: {error.strerror or error}") from error
    lines = [line.strip(" \r") for line in text.split("\n")]
    empty = [number for number, line in enumerate(lines, start=1) if not normalise(line, lower_case=False)]
    while empty and empty[-1] == len(lines):
        lines.pop()
        empty.pop()
    if not lines:
        raise InputError(f"`{flag}`: {path} holds no sentence")
    if empty:
        others = f", and {len(empty) - 1:,} more are" if len(empty) > 1 else ""
        raise InputError(f"`{flag}`: line {empty[0]:,} of {path} is empty{others}")
    return lines
