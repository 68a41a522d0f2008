"""Detect edited cells, so that a kernel never runs in place of equations that a user has changed.

A kernel repeats the equations in its cell's methods. It only runs a cell if their source, ignoring comments, docstrings
and layout, is what the kernel was written for, and if none was replaced at run time.
"""

from __future__ import annotations

import hashlib
import inspect
import io
import textwrap
import tokenize
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeGuard

from seqsum.recurrent.cells import GRUCell, LSTMCell, PackedCell, RecurrentCell, RNNCell
from seqsum.recurrent.cells.packed import unchanged

NAMES: dict[type[RecurrentCell], str] = {RNNCell: "rnn", LSTMCell: "lstm", GRUCell: "gru"}
LAYOUT = ("NEWLINE", "INDENT", "DEDENT")
METHODS = ("project", "project_with", "recur", "gates", "step")
NORMS = ("norm_ih", "norm_hh", "norm_cell_state")  # which they call
# When the equations change, first change the kernels (bptt, native, triton), then copy the value that the test prints.
FINGERPRINTS: dict[type[RecurrentCell], str] = {
    RNNCell: "2b18d3769a83c52d",
    LSTMCell: "c11e60ab328b2127",
    GRUCell: "e43b85e2267633f4",
}
_ORIGINAL = {cell: {name: getattr(cell, name) for name in METHODS} for cell in FINGERPRINTS}
_CODE = {method: method.__code__ for methods in _ORIGINAL.values() for method in methods.values()}


def has_kernels(cell: RecurrentCell) -> TypeGuard[PackedCell]:
    """Whether a cell is built-in, without options that the native and Triton kernels lack."""
    plain = isinstance(cell, PackedCell) and type(cell) in NAMES and not cell.layer_norm  # a subclass may differ
    return plain and not (isinstance(cell, LSTMCell) and cell.proj_size)


def edited(cell: PackedCell) -> str | None:
    """Explain why a built-in cell no longer computes what it was written for; None if it does."""
    kind = type(cell)
    for name, original in _ORIGINAL[kind].items():
        # IPython's autoreload puts other code into the same function
        if getattr(kind, name) is not original or original.__code__ is not _CODE[original] or name in cell.__dict__:
            return f"its `{name}` was replaced"
    for name in NORMS:
        if not cell.layer_norm and getattr(cell, name, unchanged) is not unchanged:
            return f"its `{name}` was replaced"
    return _edited_in_its_file(kind)  # type: ignore[arg-type]  # mypy considers a class unhashable


@lru_cache
def _edited_in_its_file(kind: type[RecurrentCell]) -> str | None:
    try:
        return None if fingerprint(kind) == FINGERPRINTS[kind] else f"{inspect.getsourcefile(kind)} was edited"
    except OSError:  # installed without source code, so it can't have been edited
        return None


def fingerprint(kind: type[RecurrentCell]) -> str:
    """Hash the source of a cell's methods, ignoring comments, docstrings and layout.

    Raises:
        OSError: There is no source code.
    """
    own = {name: method for name, method in _ORIGINAL[kind].items() if method is not getattr(RecurrentCell, name, None)}
    words = [f"{name}: {' '.join(words_of(method))}" for name, method in own.items()]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]


def words_of(method: Callable[..., Any]) -> list[str]:
    """Return a function's tokens without comments, docstring and layout, but with indentation levels."""
    source = textwrap.dedent(inspect.getsource(method))
    words = ["NEWLINE"]
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        at_start = words[-1] in LAYOUT
        if token.type in (tokenize.COMMENT, tokenize.NL, tokenize.ENDMARKER):
            continue
        if token.type in (tokenize.INDENT, tokenize.DEDENT):
            words.append(tokenize.tok_name[token.type])
        elif token.type == tokenize.NEWLINE:
            words += [] if at_start else ["NEWLINE"]
        elif not (at_start and token.type == tokenize.STRING):  # a docstring
            words.append(token.string)
    return words
