"""Run a module's hooks around another function than its `forward`."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from seqsum.recurrent.cells import has_hooks


def call_with_hooks(module: nn.Module, run: Callable[..., Any], *arguments: Any) -> Any:
    """Call `run(*arguments)` with the hooks of `module`, as if `run` were its `forward`.

    A cell's `forward` is a single step, but a layer runs the cell over all steps, by any backend. The hooks of the cell
    run once around all of them: the user's, and those of `torch.nn.utils.prune`, `weight_norm` and `spectral_norm`,
    which recompute a weight before each run.
    """
    if not has_hooks(module):
        return run(*arguments)
    if torch.compiler.is_compiling():  # in one thread, by a compiler that knows no locks
        return _call(module, run, *arguments)
    with _guard:
        lock = _locks.setdefault(module, threading.RLock())
    with lock:
        return _call(module, run, *arguments)


_guard = threading.Lock()
_locks: weakref.WeakKeyDictionary[nn.Module, threading.RLock] = weakref.WeakKeyDictionary()


def _call(module: nn.Module, run: Callable[..., Any], *arguments: Any) -> Any:
    """Call `run` as the module's `forward`; one thread at a time, since all of them share the module."""
    own = module.__dict__.get("forward")

    def restore() -> None:
        module.__dict__.pop("forward", None)
        if own is not None:
            module.__dict__["forward"] = own

    def forward(*given: Any) -> Any:
        restore()  # so that `run` sees the module unchanged
        return run(*given)

    module.__dict__["forward"] = forward
    try:
        return module(*arguments)
    finally:
        restore()
