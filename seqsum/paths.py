"""`~` is the user's home folder in every option and in every file of settings.

A shell leaves it as it is in `--flag=~/folder`, and so do some of the libraries that such a path is handed to.
"""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import Any

# `--flag=~/folder`, `-c~/file` and `~/file`; not `--flag=~`, which is YAML for nothing
WITH_HOME = re.compile(r"(--?[\w.+-]+=|-c)?(~.+)", re.DOTALL)


def expand_home(value: Any) -> Any:
    """A setting with the home folder for each `~` or `~user` that a text in it starts with.

    Lists, mappings and namespaces are looked through; any other value is returned as it is.
    """
    if isinstance(value, str):
        return os.path.expanduser(value)
    if isinstance(value, Path):
        return value.expanduser()
    if isinstance(value, list | tuple):
        return type(value)(map(expand_home, value))
    if isinstance(value, dict):
        return {name: expand_home(inner) for name, inner in value.items()}
    if isinstance(value, argparse.Namespace):
        return type(value)(**expand_home(vars(value)))
    return value


def expand_options(options: list[str]) -> list[str]:
    """The same for a command line that is not parsed yet."""
    found = [(option, WITH_HOME.fullmatch(option)) for option in options]
    return [(match[1] or "") + expand_home(match[2]) if match else option for option, match in found]
