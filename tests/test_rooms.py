"""Imports have no cycles, between files or between top-level folders."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import seqsum

PACKAGE = Path(seqsum.__file__).parent
FILES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}


def imports_of(path):
    """Return the files of the package that a file imports at the top level."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("seqsum"):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in FILES else node.module for name in names}
    return found


BY_FILE = {name: imports_of(path) for name, path in FILES.items()}


def room_of(name):
    """Return the top-level folder or file of a module."""
    return ".".join(name.split(".")[:2])


def by_room():
    rooms = {room_of(name): set() for name in BY_FILE}
    for name, imported in BY_FILE.items():
        rooms[room_of(name)] |= {room_of(other) for other in imported} - {room_of(name)}
    return rooms


def circles(graph):
    """List the cycles of a graph."""
    done, way = set(), []

    def go(name):
        if name in way:
            return [" → ".join([*way[way.index(name) :], name])]
        if name in done:
            return []
        way.append(name)
        found = [circle for other in sorted(graph.get(name, ())) for circle in go(other)]
        way.pop()
        done.add(name)
        return found

    return [circle for name in sorted(graph) for circle in go(name)]


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c", "d"}, "c": {"b"}, "d": set()}) == ["b → c → b"]


@pytest.mark.parametrize("graph", [BY_FILE, by_room()], ids=["files", "rooms"])
def test_there_is_no_circle(graph):
    assert len(graph) > 20
    assert circles(graph) == []


@pytest.mark.parametrize("room", ["inspect", "callbacks", "resume", "diagnosis"])
def test_the_command_line_is_above_them(room):
    names = [name for name in BY_FILE if room_of(name) == f"seqsum.{room}"]
    assert [name for name in names if any(room_of(other) == "seqsum.cli" for other in BY_FILE[name])] == []
