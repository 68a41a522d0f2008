"""Random numbers that are drawn on the host: notice that some were drawn, and draw the same ones again."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

Place = tuple[Callable[[], Any], Callable[[Any], Any]]  # reads the state of a generator, and sets it
SHARED: list[Place] = [
    (random.getstate, random.setstate),
    (np.random.get_state, np.random.set_state),
    (torch.get_rng_state, torch.set_rng_state),
]


class HostChance:
    """Where the generators of random numbers on the host stand: those of Python, numpy and torch, and given ones.

    Args:
        others: More objects; those that are no generators are left out.
    """

    def __init__(self, others: Iterable[Any] = ()) -> None:
        self._places = [*SHARED, *(place for other in others if (place := _find_place(other)) is not None)]
        self._states = [read() for read, _ in self._places]

    def has_moved(self) -> bool:
        """Whether random numbers were drawn since."""
        return any(self.moved())

    def moved(self) -> Iterator[bool]:
        """Of each generator whether it stands elsewhere, in the order of `SHARED`, then of the given ones."""
        for state, (read, _) in zip(self._states, self._places, strict=True):
            yield _comparable(state) != _comparable(read())

    def put_back(self) -> None:
        """Let the generators draw the same numbers again."""
        for state, (_, write) in zip(self._states, self._places, strict=True):
            write(state)


def _find_place(generator: Any) -> Place | None:
    """Return the place of a generator on the host; None for any other object."""
    if isinstance(generator, random.Random):
        return generator.getstate, generator.setstate
    if isinstance(generator, torch.Generator) and generator.device.type == "cpu":
        return generator.get_state, generator.set_state
    if isinstance(generator, np.random.RandomState):
        return generator.get_state, generator.set_state
    if isinstance(generator, np.random.Generator):
        bits = generator.bit_generator
        return lambda: bits.state, lambda state: setattr(bits, "state", state)
    return None


def _comparable(state: Any) -> bytes:
    return pickle.dumps(state.tolist() if isinstance(state, Tensor) else state)
