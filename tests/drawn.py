"""What functions that draw are given."""

from __future__ import annotations

import inspect
from types import ModuleType, SimpleNamespace

import pytest
from matplotlib.figure import Figure


def draw_nothing(monkeypatch: pytest.MonkeyPatch, module: ModuleType, *names: str) -> None:
    """Let functions of a module return an empty figure, whose `given` has what they were called with, by name."""
    for name in names:
        signature = inspect.signature(getattr(module, name))

        def draw(*args, signature=signature, **kwargs) -> Figure:
            figure = Figure()
            figure.given = SimpleNamespace(**signature.bind(*args, **kwargs).arguments)
            return figure

        monkeypatch.setattr(module, name, draw)
