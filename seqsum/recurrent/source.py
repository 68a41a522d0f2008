"""Notices that a file was edited since Python read it: TorchScript reads it again, and would compile other code."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from functools import lru_cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

STARTED = time.time()


def was_edited(function: FunctionType) -> bool:
    """Whether a function's file now has other code than runs, or has it in other lines, where nobody looks for it."""
    code = function.__code__
    try:
        changed = Path(code.co_filename).stat().st_mtime
        loader = getattr(sys.modules.get(function.__module__), "__loader__", None)
        if type(loader) is not SourceFileLoader and changed < STARTED:
            return False  # a loader such as pytest's, which runs other code than the file has, though nobody edited it
        there = _codes_in(code.co_filename, changed)
    except OSError:  # no file, as for a cell of a notebook
        return False
    except (SyntaxError, ValueError):
        return True
    return (code.co_firstlineno, _content(code)) not in there.get(_name(code), [])


@lru_cache(maxsize=8)
def _codes_in(file: str, changed: float) -> dict[str, list[Any]]:
    """First line and content of all functions in a file that was changed at that time, by name."""
    found: dict[str, list[Any]] = {}
    for code in _walk(compile(Path(file).read_bytes(), file, "exec", dont_inherit=True)):
        found.setdefault(_name(code), []).append((code.co_firstlineno, _content(code)))
    return found


def _walk(code: CodeType) -> Iterator[CodeType]:
    yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _walk(inner)


def _name(code: CodeType) -> str:
    return getattr(code, "co_qualname", code.co_name)  # Python 3.10 knows only the latter


def _content(code: CodeType) -> Any:
    """What a function does."""
    constants = [_content(each) if isinstance(each, CodeType) else _written(each) for each in code.co_consts]
    return code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars


def _written(constant: Any) -> Any:
    """A constant so that 1 is not True, and a set has an order."""
    return sorted(map(repr, constant)) if isinstance(constant, frozenset) else repr(constant)
