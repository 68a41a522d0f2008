"""Expand `~` to the user's home folder in options and configuration files.

A shell does not expand it in `--flag=~/folder`, and some libraries don't expand it in paths.
"""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import Any

# `--flag=~/folder`, `-c~/file` and `~/file`; not `--flag=~`, since `~` is null in YAML
WITH_HOME = re.compile(r"(--?[\w.+-]+=|-c)?(~.+)", re.DOTALL)


def expand_home(value: Any) -> Any:
    """Expand `~` or `~user` at the start of every string or path in a setting, where there is such a user.

    Search lists, mappings and namespaces recursively; return any other value unchanged.
    """
    if isinstance(value, str):
        return os.path.expanduser(value)
    if isinstance(value, Path):
        return Path(os.path.expanduser(value))  # its own `expanduser` raises a RuntimeError if there is no such user
    if isinstance(value, list | tuple):
        return type(value)(map(expand_home, value))
    if isinstance(value, dict):
        return {name: expand_home(inner) for name, inner in value.items()}
    if isinstance(value, argparse.Namespace):
        return type(value)(**expand_home(vars(value)))
    return value


def expand_options(options: list[str]) -> list[str]:
    """Expand `~` in a command line that is not parsed yet."""
    found = [(option, WITH_HOME.fullmatch(option)) for option in options]
    return [(match[1] or "") + expand_home(match[2]) if match else option for option, match in found]
