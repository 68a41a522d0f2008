"""A second oracle, independent of torch: the papers' equations in NumPy, forwards and backwards."""

import numpy as np
import pytest
import torch

from seqsum import GRU, LSTM, RNN
from tests.recurrent.oracles import BACKENDS

T, B, F, H = 5, 4, 3, 6


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class NumPyRNN:
    def __init__(self, weights):
        self.W, self.U, self.b, self.c = weights

    def forward(self, x, h):
        self.cache = []
        outputs = []
        for x_t in x:
            new = np.tanh(x_t @ self.W.T + self.b + h @ self.U.T + self.c)
            self.cache.append((x_t, h, new))
            h = new
            outputs.append(h)
        return np.stack(outputs), (h,)

    def backward(self, d_outputs, d_h):
        dW, dU, db = np.zeros_like(self.W), np.zeros_like(self.U), np.zeros_like(self.b)
        d_x = []
        for (x_t, h, new), d_output in zip(self.cache[::-1], d_outputs[::-1], strict=True):
            d_a = (d_h + d_output) * (1 - new**2)
            dW, dU, db = dW + d_a.T @ x_t, dU + d_a.T @ h, db + d_a.sum(0)
            d_x.insert(0, d_a @ self.W)
            d_h = d_a @ self.U
        return np.stack(d_x), (d_h,), (dW, dU, db, db)


class NumPyLSTM(NumPyRNN):
    def forward(self, x, h, c):
        self.cache = []
        outputs = []
        for x_t in x:
            i, f, g, o = np.split(x_t @ self.W.T + self.b + h @ self.U.T + self.c, 4, axis=1)
            i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
            new_c = f * c + i * g
            new_h = o * np.tanh(new_c)
            self.cache.append((x_t, h, c, i, f, g, o, new_c))
            h, c = new_h, new_c
            outputs.append(h)
        return np.stack(outputs), (h, c)

    def backward(self, d_outputs, d_h, d_c):
        dW, dU, db = np.zeros_like(self.W), np.zeros_like(self.U), np.zeros_like(self.b)
        d_x = []
        for (x_t, h, c, i, f, g, o, new_c), d_output in zip(self.cache[::-1], d_outputs[::-1], strict=True):
            d_h = d_h + d_output
            d_c = d_c + d_h * o * (1 - np.tanh(new_c) ** 2)
            d_a = np.concatenate(
                [
                    d_c * g * i * (1 - i),
                    d_c * c * f * (1 - f),
                    d_c * i * (1 - g**2),
                    d_h * np.tanh(new_c) * o * (1 - o),
                ],
                axis=1,
            )
            dW, dU, db = dW + d_a.T @ x_t, dU + d_a.T @ h, db + d_a.sum(0)
            d_x.insert(0, d_a @ self.W)
            d_h, d_c = d_a @ self.U, d_c * f
        return np.stack(d_x), (d_h, d_c), (dW, dU, db, db)


class NumPyGRU(NumPyRNN):
    def forward(self, x, h):
        self.cache = []
        outputs = []
        for x_t in x:
            x_r, x_z, x_n = np.split(x_t @ self.W.T + self.b, 3, axis=1)
            h_r, h_z, h_n = np.split(h @ self.U.T + self.c, 3, axis=1)
            r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
            n = np.tanh(x_n + r * h_n)
            self.cache.append((x_t, h, r, z, n, h_n))
            h = (1 - z) * n + z * h
            outputs.append(h)
        return np.stack(outputs), (h,)

    def backward(self, d_outputs, d_h):
        dW, dU, db, dc = (np.zeros_like(w) for w in (self.W, self.U, self.b, self.c))
        d_x = []
        for (x_t, h, r, z, n, h_n), d_output in zip(self.cache[::-1], d_outputs[::-1], strict=True):
            d_h = d_h + d_output
            d_n = d_h * (1 - z) * (1 - n**2)
            d_r = d_n * h_n * r * (1 - r)
            d_z = d_h * (h - n) * z * (1 - z)
            d_input = np.concatenate([d_r, d_z, d_n], axis=1)
            d_hidden = np.concatenate([d_r, d_z, d_n * r], axis=1)
            dW, dU = dW + d_input.T @ x_t, dU + d_hidden.T @ h
            db, dc = db + d_input.sum(0), dc + d_hidden.sum(0)
            d_x.insert(0, d_input @ self.W)
            d_h = d_h * z + d_hidden @ self.U
        return np.stack(d_x), (d_h,), (dW, dU, db, dc)


@pytest.mark.parametrize(("layer_class", "oracle_class"), [(RNN, NumPyRNN), (LSTM, NumPyLSTM), (GRU, NumPyGRU)])
@pytest.mark.parametrize("backend", BACKENDS)
def test_layer_matches_numpy(layer_class, oracle_class, backend):
    torch.manual_seed(0)
    layer = layer_class(F, H, backend=backend).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    cell = layer.cells[0]
    weights = [cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh]
    oracle = oracle_class([w.detach().numpy() for w in weights])
    inputs = torch.randn(T, B, F, dtype=torch.float64, requires_grad=True)
    state = [torch.randn(1, B, size, dtype=torch.float64, requires_grad=True) for size in cell.state_size]

    outputs, final = layer(inputs, tuple(state) if len(state) > 1 else state[0])
    final = final if isinstance(final, tuple) else (final,)
    expected, expected_final = oracle.forward(inputs.detach().numpy(), *(s[0].detach().numpy() for s in state))
    d_outputs, d_final = torch.randn_like(outputs), [torch.randn_like(s) for s in final]
    torch.autograd.backward([outputs, *final], [d_outputs, *d_final])
    d_inputs, d_state, d_weights = oracle.backward(d_outputs.numpy(), *(d[0].numpy() for d in d_final))

    pairs = [(outputs, expected), (inputs.grad, d_inputs)]
    pairs += [(ours[0], theirs) for ours, theirs in zip(final, expected_final, strict=True)]
    pairs += [(ours.grad[0], theirs) for ours, theirs in zip(state, d_state, strict=True)]
    pairs += [(ours.grad, theirs) for ours, theirs in zip(weights, d_weights, strict=True)]
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours.detach().numpy(), theirs, atol=1e-10, rtol=0)
