"""Cells that count exactly: the ceiling of what a network with the same encoder can reach."""

from __future__ import annotations

from torch import Tensor, nn

from seqsum.recurrent import RecurrentCell


class Accumulator(RecurrentCell):
    """Adds what it reads of each digit to its state: `total' = total + W x`."""

    state_names: tuple[str, ...] = ("total",)

    def __init__(self, input_size: int, hidden_size: int = 1) -> None:
        super().__init__(input_size, hidden_size, state_size=[hidden_size] * len(self.state_names))
        self.read = nn.Linear(input_size, hidden_size, bias=False)

    def project(self, input: Tensor) -> Tensor:
        return self.read(input)

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        total = state[0] + projected
        return total, [total]


class AlternatingAccumulator(Accumulator):
    """Adds and subtracts in turn; a second state says whether the number of steps so far is odd."""

    state_names = ("total", "odd")

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        total, odd = state
        total = total + (1 - 2 * odd) * projected
        return total, [total, 1 - odd]
