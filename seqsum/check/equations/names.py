"""What a user's code calls its gates: by the names of weights, or by those that it unpacks."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Sequence
from itertools import chain
from types import CodeType

from seqsum.check.equations.blocks import Blocks, tokens
from seqsum.check.equations.reference import Equations

LETTERS = {  # first letters, by cell and gate
    "lstm": {"i": "i", "f": "f", "o": "o", "g": "g", "c": "g", "n": "g", "u": "g", "z": "g", "a": "g", "j": "g"},
    "gru": {"r": "r", "z": "z", "u": "z", "n": "n", "c": "n", "h": "n", "g": "n", "o": "n"},
}
FILLERS = {
    "gate",
    "gates",
    "t",
    "hat",
    "tilde",
    "pre",
    "raw",
    "x",
    "w",
    "lin",
    "linear",
    "proj",
    "new",
    "weight",
    "the",
}
UNPACKING = ("chunk", "split", "unbind", "tensor_split")


def read_gate(name: str, cell: str) -> str | None:
    """The letter of the gate that a name stands for; None if it can't be told."""
    words = [word for word in re.split(r"[_.\d]+", name.lower()) if word and word not in FILLERS]
    return LETTERS.get(cell, {}).get(words[0][0]) if words else None


def _read_all(names: list[str], cell: str, gates: tuple[str, ...]) -> tuple[str, ...] | None:
    found = tuple(gate for name in names if (gate := read_gate(name, cell)) is not None)
    return found if sorted(found) == sorted(gates) else None


def read_gate_names(names: Sequence[str], equations: Equations) -> dict[str, str]:
    """The letters of the gates that `gate_names` stand for: those of all gates, or of the names that are the usual."""
    letters = {name: letter for name in names if (letter := read_gate(name, equations.name)) is not None}
    if sorted(letters.values()) == sorted(equations.gates):
        return letters
    usual = {words.replace(" ", "_"): letter for letter, words in equations.words.items()}
    usual |= {name.removesuffix("_gate"): letter for name, letter in usual.items()}
    return {name: usual[name] for name in names if name in usual}


def declared_order(
    blocks: Blocks, functions: Sequence[CodeType], cell: str, gates: tuple[str, ...]
) -> tuple[list[str], tuple[str, ...]] | None:
    """The names that the user has for the gates in the order of the blocks, and the letters they stand for.

    Args:
        blocks: Of the cell's parameters.
        functions: What a step runs: one that reads weights of another program may order them as it likes.
        cell: Name of the reference.
        gates: Its letters.
    """
    for matrices in (blocks.w, blocks.u):
        names = [block.name for block in matrices]
        told = tokens(names)
        if len(set(names)) == len(gates) and (read := _read_all(told, cell, gates)):
            return names, read
    if len({block.name for block in blocks.w}) == 1:
        for names in chain.from_iterable(map(_unpacked_in, functions)):
            if len(names) == len(gates) and (read := _read_all(names, cell, gates)):
                return names, read
    return None


def _unpacked_in(function: CodeType) -> Iterator[list[str]]:
    """Names on the left of `… = ….chunk(…)`."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError):  # there is no source
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Tuple | ast.List):
            continue
        called = {part.attr for part in ast.walk(node.value) if isinstance(part, ast.Attribute)}
        names = [target.id for target in node.targets[0].elts if isinstance(target, ast.Name)]
        if called & set(UNPACKING) and len(names) == len(node.targets[0].elts):
            yield names
