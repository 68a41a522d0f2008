"""Names places in a user's code: file, line, and what stands there."""

from __future__ import annotations

import inspect
import os
import re
import traceback
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any

import torch


def find_frame(error: BaseException, file: str) -> str:
    """The innermost line of a user's file that an error passed through: `file`, or any that is no library's."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [f for f in frames if f.filename == file] or [f for f in frames if not is_library(f.filename)]
    return f"{short(theirs[-1].filename)}:{theirs[-1].lineno}: {theirs[-1].line}" if theirs else ""


def find_line(thing: Any, pattern: str) -> str:
    """`file:line: code` of the first line in the source of a class or function that matches; "" if none does."""
    thing = inspect.unwrap(thing) if callable(thing) else thing  # below `@torch.no_grad()` and the like
    try:
        lines, start = inspect.getsourcelines(thing)
    except (OSError, TypeError):
        return ""
    for number, line in enumerate(lines, start):
        code = line.split("#")[0].strip()
        if re.search(pattern, code):
            return f"{short(source_file(thing))}:{number}: {code}"
    return ""


def source_file(thing: Any) -> str:
    """The file that a class or function is from, in a notebook the cell; "" where there is none."""
    try:
        return inspect.getsourcefile(thing) or ""
    except (OSError, TypeError):  # of a notebook's classes Python knows no file, but of their methods
        codes = (getattr(method, "__code__", None) for method in getattr(thing, "__dict__", {}).values())
        return next((code.co_filename for code in codes if isinstance(code, CodeType)), "")


def place_of(thing: Callable[..., Any] | type) -> str:
    """`file:line` of a function or class; its name where there is no source."""
    thing = inspect.unwrap(thing)
    code = getattr(thing, "__code__", None)
    if isinstance(code, CodeType):
        return f"{short(code.co_filename)}:{code.co_firstlineno}, `{thing.__name__}`"
    try:
        return f"{short(source_file(thing))}:{inspect.getsourcelines(thing)[1]}, `{thing.__name__}`"
    except (OSError, TypeError):
        return f"`{getattr(thing, '__name__', thing)}`"


def short(filename: str) -> str:
    """A path from the current folder on, where it is below."""
    path = Path(filename)
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


LIBRARIES = tuple(f"{Path(package.__file__).parent}{os.sep}" for package in (torch, inspect) if package.__file__)
OWN = f"{Path(__file__).parents[1]}{os.sep}"


def is_library(filename: str) -> bool:
    """Whether a file is torch's, Python's or seqsum's, and no user's."""
    installed = "site-packages" in filename or filename.startswith("<")
    return installed or filename.startswith((*LIBRARIES, OWN))
