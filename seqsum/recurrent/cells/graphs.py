"""Cells and layers under torch.fx and torch.jit.script, which make graphs without running the code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from torch import fx, nn

_compiling_loop: ContextVar[bool] = ContextVar("_compiling_loop", default=False)


class Opaque(nn.Module):
    """Module that a graph contains as a single node, since its loops and checks depend on the input."""

    def call_in_graph(self, proxy: fx.Proxy, *arguments: Any, **options: Any) -> fx.Proxy:
        """Return a graph node that calls this module, as `torch.fx.symbolic_trace` does for torch.nn's modules.

        Raises:
            TypeError: This module itself is being traced.
        """
        tracer: Any = proxy.tracer
        if tracer.root is self:
            raise TypeError(
                f"torch.fx can't trace {type(self).__name__} itself, whose loop depends on the input: trace a module "
                "that contains it, and the graph will call it"
            )
        return tracer.create_proxy("call_module", tracer.path_of_module(self), (proxy, *arguments), options)

    def __prepare_scriptable__(self) -> nn.Module:
        """Tell torch.jit.script what to compile: this module, and only inside `compiling_loop`.

        Raises:
            RuntimeError: Called outside of `compiling_loop`.
        """
        if _compiling_loop.get():
            return self
        raise RuntimeError(
            f"torch.jit.script can't compile {type(self).__name__}, which checks its input in Python: use torch.export "
            "or torch.jit.trace, or load the weights into its namesake in torch.nn, if there is one"
        )


@contextmanager
def compiling_loop() -> Iterator[None]:
    """Allow torch.jit.script to compile cells; `scripting.py` does, to compile the loop over one."""
    token = _compiling_loop.set(True)
    try:
        yield
    finally:
        _compiling_loop.reset(token)
