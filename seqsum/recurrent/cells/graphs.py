"""Cells and layers in graphs that torch writes down without running them: torch.fx and torch.jit.script."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from torch import fx, nn

_compiling_loop: ContextVar[bool] = ContextVar("_compiling_loop", default=False)


class Opaque(nn.Module):
    """A module that graphs hold as a whole, since its loops and checks depend on what it is given."""

    def call_in_graph(self, proxy: fx.Proxy, *arguments: Any, **options: Any) -> fx.Proxy:
        """A node that calls this module, as `torch.fx.symbolic_trace` makes for the modules of torch.nn.

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
        """What torch.jit.script is to compile instead.

        Raises:
            RuntimeError: Always, but where `backends.py` compiles the loop over a cell.
        """
        if _compiling_loop.get():
            return self
        raise RuntimeError(
            f"torch.jit.script can't compile {type(self).__name__}, which Python takes through time: use torch.export "
            "or torch.jit.trace, or put the weights into its namesake in torch.nn"
        )


@contextmanager
def compiling_loop() -> Iterator[None]:
    """Let torch.jit.script into cells."""
    token = _compiling_loop.set(True)
    try:
        yield
    finally:
        _compiling_loop.reset(token)
