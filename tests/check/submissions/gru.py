"""A GRU as students hand it in: right. Tests change a line of it at a time."""

import torch
from torch import Tensor, nn

from seqsum import RecurrentCell


class MyGRU(RecurrentCell):
    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.x2h = nn.Linear(input_size, 3 * hidden_size)
        self.h2h = nn.Linear(hidden_size, 3 * hidden_size)

    def project(self, input: Tensor) -> Tensor:
        return self.x2h(input)

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        h = state[0]
        x_r, x_z, x_n = projected.split(self.hidden_size, dim=-1)
        h_r, h_z, h_n = self.h2h(h).split(self.hidden_size, dim=-1)
        r = torch.sigmoid(x_r + h_r)
        z = torch.sigmoid(x_z + h_z)
        n = torch.tanh(x_n + r * h_n)
        h_new = (1 - z) * n + z * h
        output = h_new
        return output, [h_new]
