"""Keeps a module's buffers, such as the running statistics of batch normalisation, from a run that is not to count."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

_sparing = ContextVar("_sparing", default=False)


def are_spared(cell: nn.Module) -> bool:
    """Whether a cell's buffers may be copies. A script would hold the copies, and so be out of date soon."""
    return _sparing.get() and any(True for _ in cell.buffers())


@contextmanager
def spared_buffers(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Let copies stand in for all buffers of the modules, and put the buffers themselves back at the end.

    Nothing is written back: that would look like a change to a backward pass that needs the buffers still. Cells with
    buffers run as Python meanwhile, see `are_spared`.
    """
    plain = (module for module in modules if not isinstance(module, torch.jit.ScriptModule))  # these allow no exchange
    kept = [(module._buffers, dict(module._buffers)) for module in plain]
    copies: dict[int, Tensor] = {}  # by the buffer's id: what is shared stays so
    for buffers, before in kept:
        for name, buffer in before.items():
            if buffer is not None:
                buffers[name] = copies.setdefault(id(buffer), buffer.clone())
    token = _sparing.set(True)
    try:
        yield
    finally:
        _sparing.reset(token)
        for buffers, before in kept:
            buffers.clear()
            buffers.update(before)
