"""Errors that name an argument as Python calls it: most of the package's messages are written for the command line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from seqsum.errors import InputError

NAMES = {"ckpt_path": "path", "max-length": "look.longest"}  # those that are called otherwise in Python


@contextmanager
def python_names() -> Iterator[None]:
    """Let an `InputError` say `root` and `path`, not `--data.root` and `--ckpt_path`."""
    try:
        yield
    except InputError as error:
        raise InputError(re.sub(r"`--(?:data\.|model\.)?([\w-]+)`", _as_argument, str(error))) from error


def _as_argument(flag: re.Match[str]) -> str:
    return f"`{NAMES.get(flag[1], flag[1])}`"
