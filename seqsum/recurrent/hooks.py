"""Hooks of a module around something else than its `forward`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from seqsum.recurrent.cells import has_hooks


def call_with_hooks(module: nn.Module, run: Callable[..., Any], *arguments: Any) -> Any:
    """`run(*arguments)` between the hooks of `module`, as if `run` were its `forward`.

    A cell's own `forward` is a single step, while a layer runs the cell over all steps, by whatever backend. Its hooks
    run once around that: those of `torch.nn.utils.prune`, `weight_norm` and `spectral_norm`, which compute a weight
    anew before each run, and the user's.
    """
    if not has_hooks(module):
        return run(*arguments)
    own = module.__dict__.get("forward")

    def restore() -> None:
        module.__dict__.pop("forward", None)
        if own is not None:
            module.__dict__["forward"] = own

    def forward(*given: Any) -> Any:
        restore()  # what runs sees the module as it is
        return run(*given)

    module.__dict__["forward"] = forward
    try:
        return module(*arguments)
    finally:
        restore()
