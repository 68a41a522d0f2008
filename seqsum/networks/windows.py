"""Runs long sequences window by window, to keep the activations of only one window in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from seqsum.recurrent.buffers import spared_buffers
from seqsum.recurrent.recurrent import States


@runtime_checkable
class Stateful(Protocol):
    """A network that can start from a given state."""

    def run(self, inputs: Tensor, state: States | None = None, *, mask: Tensor | None = None) -> tuple[Tensor, States]:
        """Map inputs `(B, T, …)` and a state to outputs `(B, T, K)` and the state after the last step."""

    def modules(self) -> Iterator[nn.Module]:
        """See `torch.nn.Module.modules`."""


def run_in_windows(network: Stateful, inputs: Tensor, mask: Tensor | None, steps: int) -> Tensor:
    """Run truncated backpropagation through time (Williams & Peng, 1990): pass on the state, but not its gradient.

    A window's forward pass keeps only its outputs and its last state; the backward pass repeats it (Chen et al.,
    2016), which takes a third more time. There is still one loss over the whole sequence, one backward pass and one
    optimizer step per batch, so losses that compare neighbouring steps, gradient clipping, mixed precision and
    distributed training work unchanged.

    Args:
        network: Runs each window; batch normalisation sees the steps of a window together.
        inputs: `(B, T, …)`.
        mask: `(B, T)`, True where a step exists; None for all.
        steps: Length of a window.

    Returns:
        Outputs `(B, T, K)`.
    """
    outputs, state = [], None
    for start in range(0, inputs.shape[1], steps):
        window = slice(start, start + steps)
        output, state = _run(network, inputs[:, window], state, None if mask is None else mask[:, window])
        outputs.append(output)
        state = state.detach() if isinstance(state, Tensor) else tuple(part.detach() for part in state)
    return torch.cat(outputs, dim=1)


def _run(network: Stateful, inputs: Tensor, state: States | None, mask: Tensor | None) -> tuple[Tensor, States]:
    if not torch.is_grad_enabled():
        return network.run(inputs, state, mask=mask)

    def again() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), spared_buffers(network.modules())  # they have seen this window already

    return checkpoint(network.run, inputs, state, mask=mask, use_reentrant=False, context_fn=again)
