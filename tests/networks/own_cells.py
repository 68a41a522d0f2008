"""Cells as a user would write them, for tests that name them by their paths."""

import torch
from torch import nn

from seqsum.recurrent import RecurrentCell


class HalfLife(RecurrentCell):
    """A user's own cell, which forgets half of its state in each step."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.read = nn.Linear(input_size, hidden_size)

    def project(self, input: torch.Tensor) -> torch.Tensor:
        return self.read(input)

    def step(self, projected: torch.Tensor, state: list[torch.Tensor]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        hidden = 0.5 * state[0] + projected
        return hidden, [hidden]


class Zoneout(HalfLife):
    """It keeps a part of its state, and takes sizes by other names, in another order, and an argument more."""

    def __init__(self, num_units: int, kept: float, features: int) -> None:
        super().__init__(features, num_units)
        self.kept = kept

    def step(self, projected: torch.Tensor, state: list[torch.Tensor]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        hidden = self.kept * state[0] + (1 - self.kept) * projected
        return hidden, [hidden]

    def like(self, input_size: int) -> "Zoneout":
        return Zoneout(self.hidden_size, self.kept, input_size)


class Wide(HalfLife):
    """Its output is three times as wide as its state."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.output_size = 3 * hidden_size

    def step(self, projected: torch.Tensor, state: list[torch.Tensor]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        hidden = 0.5 * state[0] + projected
        return torch.cat([hidden, hidden, hidden], -1), [hidden]


class Uneven(RecurrentCell):
    """Its two states and its output have three sizes, and none is that of its units."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        sizes = {"state_size": [hidden_size + 1, hidden_size + 2], "output_size": hidden_size + 3}
        super().__init__(input_size, hidden_size, **sizes)
        self.read = nn.Linear(input_size, hidden_size + 1)
        self.keep = nn.Linear(hidden_size + 1, hidden_size + 2)
        self.write = nn.Linear(hidden_size + 2, hidden_size + 3)

    def project(self, input: torch.Tensor) -> torch.Tensor:
        return self.read(input)

    def step(self, projected: torch.Tensor, state: list[torch.Tensor]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        first = torch.tanh(0.5 * state[0] + projected)
        second = torch.tanh(0.5 * state[1] + self.keep(first))
        return self.write(second), [first, second]


class Listed(HalfLife):
    """Its weights are in a list, where no optimizer finds them."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.more = [nn.Linear(input_size, hidden_size)]
        self.again = [self.read]

    def project(self, input: torch.Tensor) -> torch.Tensor:
        return self.read(input) + self.more[0](input)


class Broken(HalfLife):
    """It reads a state that it has not."""

    def step(self, projected: torch.Tensor, state: list[torch.Tensor]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        return projected, [state[0] + state[1]]


class Unmade(HalfLife):
    """It doesn't call the constructor of its base first."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        self.read = nn.Linear(input_size, hidden_size)
