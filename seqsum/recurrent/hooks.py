"""Run the hooks and wrappers of a cell around a function that is not its `forward`."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import nn

from seqsum.recurrent.cells import RecurrentCell, has_hooks

REPLACED = "_old_forward"  # accelerate's name for a `forward` around which it loads weights from elsewhere


# attributes by which torch.compile and torch's checkpoint wrapper hold a module; without them, it computes the same
LEFT_OUT = ("_orig_mod", "_checkpoint_wrapped_module")


def cell_within(module: nn.Module) -> tuple[nn.Module, RecurrentCell]:
    """Find the cell in a module that stands in its place, such as FSDP's or a LoRA adapter's.

    Returns:
        What to call, and the cell; both are the module if it holds none.
    """
    for name in LEFT_OUT:
        if (inner := module._modules.get(name)) is not None:
            return cell_within(inner)
    cells = (part for part in module.modules() if isinstance(part, RecurrentCell))
    return module, next(cells, cast(RecurrentCell, module))


def call_with_hooks(module: nn.Module, cell: nn.Module, run: Callable[..., Any], *arguments: Any) -> Any:
    """Call `run(*arguments)` within `module`, which is or holds the cell, as if `run` were the cell's `forward`.

    A cell's `forward` is a single step, but a layer runs the cell over all steps, by any backend. What others do before
    and after a `forward` is done once around all of them: by hooks of the user's, of `torch.nn.utils.prune`,
    `weight_norm` and `spectral_norm`, which recompute a weight before each run, or by a module around the cell.
    """
    if module is cell and not has_hooks(cell) and REPLACED not in cell.__dict__:
        return run(*arguments)
    if torch.compiler.is_compiling():  # in one thread, by a compiler that knows no locks
        return _call(module, cell, run, *arguments)
    with _guard:
        lock = _locks.setdefault(cell, threading.RLock())
    with lock:
        return _call(module, cell, run, *arguments)


_guard = threading.Lock()
_locks: weakref.WeakKeyDictionary[nn.Module, threading.RLock] = weakref.WeakKeyDictionary()


def _call(module: nn.Module, cell: nn.Module, run: Callable[..., Any], *arguments: Any) -> Any:
    """Call `run` as the cell's `forward`; one thread at a time, since all of them share the cell."""
    name = REPLACED if REPLACED in cell.__dict__ else "forward"
    own = cell.__dict__.get(name)

    def restore() -> None:
        cell.__dict__.pop(name, None)
        if own is not None:
            cell.__dict__[name] = own

    def forward(*given: Any) -> Any:
        restore()  # so that `run` sees the cell unchanged
        return run(*given)

    cell.__dict__[name] = forward
    try:
        return module(*arguments)
    finally:
        restore()
