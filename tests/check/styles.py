"""Right cells as people write them: ten ways to pack the weights of an LSTM, some of a GRU, and a few relatives."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import orthogonal, weight_norm

from seqsum import RecurrentCell


def new(*shape):
    return nn.Parameter(torch.randn(*shape) * 0.1)


class Two(RecurrentCell):
    """A cell with hidden and cell state."""

    state_names = ("hidden", "cell")

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size, state_size=[hidden_size] * 2)


class Torchs(nn.Module):
    """torch.nn.LSTMCell's own names, as a plain module."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.weight_ih, self.weight_hh = new(4 * hidden_size, input_size), new(4 * hidden_size, hidden_size)
        self.bias_ih, self.bias_hh = new(4 * hidden_size), new(4 * hidden_size)

    def forward(self, input, hx):
        h, c = hx
        gates = F.linear(input, self.weight_ih, self.bias_ih) + F.linear(h, self.weight_hh, self.bias_hh)
        i, f, g, o = gates.chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, c


class Wrapped(nn.Module):
    """A cell of torch.nn inside of another module."""

    kind: type[nn.Module]

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.inside = self.kind(input_size, hidden_size)

    def forward(self, input, hx):
        return self.inside(input, hx)


class WrappedLSTM(Wrapped):
    kind = nn.LSTMCell


class WrappedGRU(Wrapped):
    kind = nn.GRUCell


class WrappedRNN(Wrapped):
    kind = nn.RNNCell


class IFOG(Two):
    """Sigmoids in one go: i, f, o, g."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.read = nn.Linear(input_size, 4 * hidden_size)
        self.recall = nn.Linear(hidden_size, 4 * hidden_size, bias=False)

    def project(self, input: Tensor) -> Tensor:
        return self.read(input)

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        size = 3 * self.hidden_size
        summed = projected + self.recall(state[0])
        i, f, o = torch.sigmoid(summed[:, :size]).split(self.hidden_size, dim=-1)
        c = f * state[1] + i * torch.tanh(summed[:, size:])
        h = o * torch.tanh(c)
        return h, [h, c]


class Keras(Two):
    """Keras's: kernel (F, 4H), recurrent kernel (H, 4H), one bias, gates i, f, c, o."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.kernel, self.recurrent_kernel = new(input_size, 4 * hidden_size), new(hidden_size, 4 * hidden_size)
        self.bias = new(4 * hidden_size)

    def project(self, input: Tensor) -> Tensor:
        return input @ self.kernel + self.bias

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        z = projected + state[0] @ self.recurrent_kernel
        z0, z1, z2, z3 = z.chunk(4, dim=-1)
        c = torch.sigmoid(z1) * state[1] + torch.sigmoid(z0) * torch.tanh(z2)
        h = torch.sigmoid(z3) * torch.tanh(c)
        return h, [h, c]


class TensorFlow(nn.Module):
    """TensorFlow 1's BasicLSTMCell: one matrix for [x, h], gates i, j, f, o, state (c, h)."""

    forget_bias = 0.0

    def __init__(self, num_units, input_depth):
        super().__init__()
        self.kernel = new(input_depth + num_units, 4 * num_units)
        self.bias = new(4 * num_units)

    def forward(self, inputs, state):
        c, h = state
        gate_inputs = torch.cat([inputs, h], 1) @ self.kernel + self.bias
        i, j, f, o = gate_inputs.chunk(4, dim=1)
        new_c = c * torch.sigmoid(f + self.forget_bias) + torch.sigmoid(i) * torch.tanh(j)
        new_h = torch.tanh(new_c) * torch.sigmoid(o)
        return new_h, (new_c, new_h)


class ForgetBias(TensorFlow):
    """The same with 1 added to the forget gate, its default."""

    forget_bias = 1.0


class OneMatrix(nn.Module):
    """One linear layer on [h, x], as on many blackboards."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.linear = nn.Linear(hidden_size + input_size, 4 * hidden_size)

    def forward(self, x, state):
        h, c = state
        f, i, g, o = torch.split(self.linear(torch.cat([h, x], dim=1)), h.shape[1], dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, (h, c)


class Separate(Two):
    """A matrix a gate, multiplied from the right: W_xi, W_hi, b_i …, as in Dive into Deep Learning."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        for gate in "ifoc":
            setattr(self, f"W_x{gate}", new(input_size, hidden_size))
            setattr(self, f"W_h{gate}", new(hidden_size, hidden_size))
            setattr(self, f"b_{gate}", new(hidden_size))

    def project(self, input: Tensor) -> Tensor:
        return input

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        x, h, c = projected, state[0], state[1]
        i = torch.sigmoid(x @ self.W_xi + h @ self.W_hi + self.b_i)
        f = torch.sigmoid(x @ self.W_xf + h @ self.W_hf + self.b_f)
        o = torch.sigmoid(x @ self.W_xo + h @ self.W_ho + self.b_o)
        c_tilde = torch.tanh(x @ self.W_xc + h @ self.W_hc + self.b_c)
        c = f * c + i * c_tilde
        h = o * torch.tanh(c)
        return h, [h, c]


class Linears(nn.Module):
    """Eight linear layers, the hidden state's registered in another order, states as two arguments."""

    def __init__(self, input_dim, hidden_dim):
        super().__init__()
        self.x_input, self.x_forget = nn.Linear(input_dim, hidden_dim), nn.Linear(input_dim, hidden_dim)
        self.x_cell, self.x_output = nn.Linear(input_dim, hidden_dim), nn.Linear(input_dim, hidden_dim)
        self.h_output, self.h_cell = nn.Linear(hidden_dim, hidden_dim), nn.Linear(hidden_dim, hidden_dim)
        self.h_forget, self.h_input = nn.Linear(hidden_dim, hidden_dim), nn.Linear(hidden_dim, hidden_dim)

    def forward(self, x, h, c):
        i = torch.sigmoid(self.x_input(x) + self.h_input(h))
        f = torch.sigmoid(self.x_forget(x) + self.h_forget(h))
        g = torch.tanh(self.x_cell(x) + self.h_cell(h))
        o = torch.sigmoid(self.x_output(x) + self.h_output(h))
        c = f * c + i * g
        h = o * torch.tanh(c)
        return h, h, c


class JointLinears(nn.Module):
    """A linear layer a gate on [x, h]."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.forget_gate = nn.Linear(input_size + hidden_size, hidden_size)
        self.input_gate = nn.Linear(input_size + hidden_size, hidden_size)
        self.candidate = nn.Linear(input_size + hidden_size, hidden_size)
        self.output_gate = nn.Linear(input_size + hidden_size, hidden_size)

    def forward(self, x, hx):
        h, c = hx
        both = torch.cat((x, h), dim=-1)
        c = self.forget_gate(both).sigmoid() * c + self.input_gate(both).sigmoid() * self.candidate(both).tanh()
        h = self.output_gate(both).sigmoid() * c.tanh()
        return h, c


class Einsum(Two):
    """Weights stacked by gate, (4, H, F) and (4, H, H), and einsum."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.w, self.u = new(4, hidden_size, input_size), new(4, hidden_size, hidden_size)
        self.b = new(4, hidden_size)

    def project(self, input: Tensor) -> Tensor:
        return (torch.einsum("...f,ghf->...gh", input, self.w) + self.b).flatten(-2)

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        summed = projected.unflatten(-1, (4, -1)) + torch.einsum("bk,ghk->bgh", state[0], self.u)
        f, i, o, g = summed.unbind(1)
        c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, [h, c]


class Interleaved(Two):
    """The gates of a unit side by side: rows go around the gates."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.x2h, self.h2h = nn.Linear(input_size, 4 * hidden_size), nn.Linear(hidden_size, 4 * hidden_size)

    def project(self, input: Tensor) -> Tensor:
        return self.x2h(input)

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        i, f, g, o = (projected + self.h2h(state[0])).view(-1, self.hidden_size, 4).unbind(-1)
        c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, [h, c]


class NoBias(Two):
    """Without biases, as torch.nn.LSTMCell(bias=False)."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.w, self.u = new(4 * hidden_size, input_size), new(4 * hidden_size, hidden_size)

    def project(self, input: Tensor) -> Tensor:
        return input @ self.w.T

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        i, f, g, o = (projected + state[0] @ self.u.T).split(self.hidden_size, dim=-1)
        c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, [h, c]


class Peepholes(Two):
    """Gers & Schmidhuber (2000)."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.x2h, self.h2h = nn.Linear(input_size, 4 * hidden_size), nn.Linear(hidden_size, 4 * hidden_size, bias=False)
        self.w_ci, self.w_cf, self.w_co = new(hidden_size), new(hidden_size), new(hidden_size)

    def project(self, input: Tensor) -> Tensor:
        return self.x2h(input)

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        c = state[1]
        i, f, g, o = (projected + self.h2h(state[0])).split(self.hidden_size, dim=-1)
        c_new = torch.sigmoid(f + self.w_cf * c) * c + torch.sigmoid(i + self.w_ci * c) * torch.tanh(g)
        h = torch.sigmoid(o + self.w_co * c_new) * torch.tanh(c_new)
        return h, [h, c_new]


class Coupled(nn.Module):
    """Input gate 1 − f (Greff et al., 2017)."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.linear = nn.Linear(input_size + hidden_size, 3 * hidden_size)

    def forward(self, x, hx):
        h, c = hx
        f, g, o = self.linear(torch.cat([x, h], 1)).chunk(3, 1)
        f = torch.sigmoid(f)
        c = f * c + (1 - f) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, c


class Normalised(nn.Module):
    """Layer normalisation of both products (Ba et al., 2016)."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.x2h = nn.Linear(input_size, 4 * hidden_size)
        self.h2h = nn.Linear(hidden_size, 4 * hidden_size, bias=False)
        self.norm_x, self.norm_h = nn.LayerNorm(4 * hidden_size), nn.LayerNorm(4 * hidden_size)

    def forward(self, x, hx):
        h, c = hx
        i, f, g, o = (self.norm_x(self.x2h(x)) + self.norm_h(self.h2h(h))).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, c


class KerasGRU(nn.Module):
    """Keras's with reset_after=True: gates z, r, h, both biases in one array (2, 3H)."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.kernel, self.recurrent_kernel = new(input_size, 3 * hidden_size), new(hidden_size, 3 * hidden_size)
        self.bias = new(2, 3 * hidden_size)

    def forward(self, x, h):
        x_z, x_r, x_h = (x @ self.kernel + self.bias[0]).chunk(3, -1)
        h_z, h_r, h_h = (h @ self.recurrent_kernel + self.bias[1]).chunk(3, -1)
        z, r = torch.sigmoid(x_z + h_z), torch.sigmoid(x_r + h_r)
        hh = torch.tanh(x_h + r * h_h)
        return z * h + (1 - z) * hh


class MixedGRU(nn.Module):
    """Two gates from one layer on [x, h], the candidate from two others."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.gates = nn.Linear(input_size + hidden_size, 2 * hidden_size)
        self.x2n, self.h2n = nn.Linear(input_size, hidden_size), nn.Linear(hidden_size, hidden_size)

    def forward(self, x, h):
        r, z = torch.sigmoid(self.gates(torch.cat([x, h], -1))).chunk(2, -1)
        n = torch.tanh(self.x2n(x) + r * self.h2n(h))
        return h + (1 - z) * (n - h)


class MixedJoints(nn.Module):
    """A GRU whose gates read [x, h] and whose candidate reads [r * h, x] (Cho et al., 2014)."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        both = input_size + hidden_size
        self.reset, self.update, self.candidate = (nn.Linear(both, hidden_size) for _ in range(3))

    def forward(self, x, h):
        both = torch.cat([x, h], -1)
        r, z = torch.sigmoid(self.reset(both)), torch.sigmoid(self.update(both))
        n = torch.tanh(self.candidate(torch.cat([r * h, x], -1)))
        return (1 - z) * n + z * h


class OneMatrixRNN(nn.Module):
    """The tutorial's: one layer on [x, h], output and state."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.i2h = nn.Linear(input_size + hidden_size, hidden_size)

    def forward(self, input, hidden):
        hidden = torch.tanh(self.i2h(torch.cat((input, hidden), 1)))
        return hidden, hidden


class Clockwork(RecurrentCell):
    """A clockwork RNN (Koutník et al., 2014): units of period p change at every p-th step, which a counter counts."""

    state_names = ("hidden", "clock")

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size, state_size=[hidden_size, 1])
        self.read, self.recall = nn.Linear(input_size, hidden_size), nn.Linear(hidden_size, hidden_size)
        self.register_buffer("periods", 2.0 ** (torch.arange(hidden_size) % 3))

    def project(self, input: Tensor) -> Tensor:
        return self.read(input)

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        new = torch.tanh(projected + self.recall(state[0]))
        hidden = torch.where(torch.remainder(state[1], self.periods) == 0, new, state[0])
        return hidden, [hidden, state[1] + 1]


class Gate(nn.Module):
    """One gate with plain matrices, (in, out)."""

    def __init__(self, input_size, hidden_size, activation):
        super().__init__()
        self.W, self.U, self.b = new(input_size, hidden_size), new(hidden_size, hidden_size), new(hidden_size)
        self.activation = activation

    def forward(self, x, h):
        return self.activation(x @ self.W + h @ self.U + self.b)


class OfGates(nn.Module):
    """A module for each gate."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.forget = Gate(input_size, hidden_size, torch.sigmoid)
        self.input = Gate(input_size, hidden_size, torch.sigmoid)
        self.candidate = Gate(input_size, hidden_size, torch.tanh)
        self.output = Gate(input_size, hidden_size, torch.sigmoid)

    def forward(self, x, state):
        h, c = state
        c = self.forget(x, h) * c + self.input(x, h) * self.candidate(x, h)
        return self.output(x, h) * torch.tanh(c), c


class CellFirst(nn.Module):
    """Its state is (cell, hidden), and it returns nothing else."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.linear = nn.Linear(input_size + hidden_size, 4 * hidden_size)

    def forward(self, x, state):
        c, h = state
        i, f, g, o = self.linear(torch.cat([x, h], 1)).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return c, o.sigmoid() * c.tanh()


class CellFirstOfThree(CellFirst):
    """The same, with arguments of their own."""

    def forward(self, x, c, h):
        return super().forward(x, (c, h))


class InADict(nn.Module):
    """An RNN whose parameters are in a ParameterDict."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        parts = {"W": new(input_size, hidden_size), "U": new(hidden_size, hidden_size), "b": new(hidden_size)}
        self.p = nn.ParameterDict(parts)

    def forward(self, x, h):
        return torch.tanh(x @ self.p["W"] + h @ self.p["U"] + self.p["b"])


class FourBiases(nn.Module):
    """A GRU whose candidate has two biases; all stand in the order of `names`."""

    names = ("b_r", "b_in", "b_hn", "b_z")

    def __init__(self, input_size, hidden_size):
        super().__init__()
        for gate in "rzn":
            setattr(self, f"W_{gate}", new(input_size, hidden_size))
            setattr(self, f"U_{gate}", new(hidden_size, hidden_size))
        for name in self.names:
            setattr(self, name, new(hidden_size))

    def forward(self, x, h):
        r = torch.sigmoid(x @ self.W_r + h @ self.U_r + self.b_r)
        z = torch.sigmoid(x @ self.W_z + h @ self.U_z + self.b_z)
        n = torch.tanh(x @ self.W_n + self.b_in + r * (h @ self.U_n + self.b_hn))
        return (1 - z) * n + z * h


class CandidateFirst(FourBiases):
    names = ("b_hn", "b_in", "b_r", "b_z")


class ResetLast(FourBiases):
    names = ("b_in", "b_z", "b_hn", "b_r")


class Parametrized(nn.Module):
    """A GRU whose weights are computed from other parameters."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.x = weight_norm(nn.Linear(input_size, 3 * hidden_size))
        self.h = orthogonal(nn.Linear(hidden_size, 3 * hidden_size))

    def forward(self, x, h):
        (r, z, n), (u, v, m) = self.x(x).chunk(3, -1), self.h(h).chunk(3, -1)
        z = torch.sigmoid(z + v)
        return (1 - z) * torch.tanh(n + torch.sigmoid(r + u) * m) + z * h
