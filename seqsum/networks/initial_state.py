"""The recurrence's initial state: zero, any number, random or learned."""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch import nn

from seqsum.networks.recurrences import sizes_of
from seqsum.recurrent import Recurrent
from seqsum.recurrent.alike import real_weight
from seqsum.recurrent.recurrent import States

InitialState = Literal["zero", "random", "learned"] | float


def check_initial_state(initial_state: InitialState) -> None:
    """Raise a ValueError unless `initial_state` is an `InitialState`."""
    if isinstance(initial_state, str) and initial_state not in ("zero", "random", "learned"):
        raise ValueError(f"`initial_state` (={initial_state!r}) must be 'zero', 'random', 'learned' or a number")


def make_state(initial_state: InitialState, recurrence: nn.Module, batch_size: int, training: bool) -> States | None:
    """Make the states before the first step, `(L·D, B, S)` each; None for zero and learned, which the recurrence has.

    Args:
        initial_state: `random` draws from a standard normal distribution for each sequence: in training from torch's
            generator, otherwise the same numbers for every batch of that size, so that tests are repeatable with
            the same batches. A number fills all states.
        recurrence: Layers as `build_recurrence` makes them.
        batch_size: `B`.
        training: Whether the network is in training mode.
    """
    if initial_state in ("zero", "learned"):
        return None
    like = real_weight(recurrence, torch.empty(0))
    device, generator = (like.device, None) if training else (None, torch.Generator().manual_seed(0))
    states = []
    for shape in _shapes(recurrence, batch_size):
        if initial_state == "random":
            states.append(torch.randn(shape, generator=generator, device=device).to(like))
        else:
            states.append(like.new_full(shape, float(initial_state)))
    return states[0] if len(states) == 1 else tuple(states)


def _shapes(recurrence: nn.Module, batch_size: int) -> list[tuple[int, int, int]]:
    layers = cast("Recurrent | nn.RNNBase", recurrence)
    rows = layers.num_layers * (2 if layers.bidirectional else 1)
    return [(rows, batch_size, size) for size in sizes_of(layers)[1]]
