"""An LSTM as students hand it in: right. Tests change a line of it at a time."""

import torch
from torch import Tensor, nn

from seqsum import RecurrentCell


class MyLSTM(RecurrentCell):
    state_names = ("hidden", "cell")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, state_size=[hidden_size, hidden_size])
        self.W = nn.Parameter(torch.randn(4 * hidden_size, input_size) * 0.1)
        self.U = nn.Parameter(torch.randn(4 * hidden_size, hidden_size) * 0.1)
        self.b = nn.Parameter(torch.zeros(4 * hidden_size))

    def project(self, input: Tensor) -> Tensor:
        return input @ self.W.T + self.b

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        h, c = state[0], state[1]
        z = projected + h @ self.U.T
        i, f, g, o = z.split(self.hidden_size, dim=-1)
        i = torch.sigmoid(i)
        f = torch.sigmoid(f)
        g = torch.tanh(g)
        o = torch.sigmoid(o)
        c_new = f * c + i * g
        h_new = o * torch.tanh(c_new)
        output = h_new
        return output, [h_new, c_new]
