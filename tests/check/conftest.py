"""Submissions: right cells in files, and the same with a line changed, as students write them."""

from __future__ import annotations

import importlib.util
import itertools
import linecache
import sys
import types
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

SUBMISSIONS = Path(__file__).parent / "submissions"
CLASSES = {"lstm": "MyLSTM", "gru": "MyGRU", "rnn": "MyRNN"}
_numbers = itertools.count()


def changed(kind: str, changes: Iterable[tuple[str, str]]) -> str:
    source = (SUBMISSIONS / f"{kind}.py").read_text()
    for old, new in changes:
        assert source.count(old) == 1, f"{old!r} is there {source.count(old)} times"
        source = source.replace(old, new)
    return source


@pytest.fixture
def mutate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., type]:
    """The class of a submission with some lines changed: `mutate("lstm", (old, new), …)`."""

    def load(kind: str, *changes: tuple[str, str]) -> type:
        source = changed(kind, changes)
        path = tmp_path / f"{kind}_{next(_numbers)}.py"
        path.write_text(source)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, path.stem, module)
        spec.loader.exec_module(module)
        return getattr(module, CLASSES[kind])

    return load


@pytest.fixture
def mutate_in_notebook(monkeypatch: pytest.MonkeyPatch) -> Callable[..., type]:
    """As `mutate`, in a cell of a notebook: the module `__main__` has no file, but Python knows the cell's lines."""

    def load(kind: str, *changes: tuple[str, str]) -> type:
        source = changed(kind, changes)
        file = f"/tmp/ipykernel_1/{next(_numbers)}.py"
        monkeypatch.setitem(linecache.cache, file, (len(source), None, source.splitlines(keepends=True), file))
        monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))
        exec(compile(source, file, "exec"), vars(sys.modules["__main__"]))
        return getattr(sys.modules["__main__"], CLASSES[kind])

    return load
