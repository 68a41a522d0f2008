"""Weights from Keras: arrays in, a state dict for a cell out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def rnn_from_keras(weights: Sequence[Any]) -> dict[str, Tensor]:
    """State dict of an `RNNCell` from `keras.layers.SimpleRNN.get_weights()`; see `lstm_from_keras`."""
    return _convert(weights, "SimpleRNN", order=[0])


def lstm_from_keras(weights: Sequence[Any]) -> dict[str, Tensor]:
    """State dict of an `LSTMCell` from `keras.layers.LSTM.get_weights()`.

    Keras keeps the gates in the same order, i, f, c, o, but multiplies from the other side and has a
    single bias, which becomes `bias_ih`; `bias_hh` is zero.

    Args:
        weights: Arrays: kernel `(F, 4·H)`, recurrent kernel `(H, 4·H)` and, unless `use_bias=False`,
            bias `(4·H,)`.

    Raises:
        ValueError: Another number of arrays, or shapes that don't fit together.
    """
    return _convert(weights, "LSTM", order=[0, 1, 2, 3])


def gru_from_keras(weights: Sequence[Any]) -> dict[str, Tensor]:
    """State dict of a `GRUCell` from `keras.layers.GRU.get_weights()`, with `reset_after=True`, its default.

    Keras's gate order is z, r, h: update, reset, candidate. Its bias holds both, `(2, 3·H)`.

    Args:
        weights: Arrays: kernel `(F, 3·H)`, recurrent kernel `(H, 3·H)` and, unless `use_bias=False`,
            bias `(2, 3·H)`.

    Raises:
        ValueError: Another number of arrays, shapes that don't fit together, or the single bias of a layer
            with `reset_after=False`, which computes something else.
    """
    if len(weights) == 3 and torch.as_tensor(weights[2]).dim() == 1:
        raise ValueError(
            f"`weights` with a bias of shape {tuple(torch.as_tensor(weights[2]).shape)} come from a GRU with "
            "reset_after=False, which resets before the product; GRUCell resets after it"
        )
    return _convert(weights, "GRU", order=[1, 0, 2])


def _convert(weights: Sequence[Any], layer: str, order: list[int]) -> dict[str, Tensor]:
    """Kernels `(…, G·H)` and biases `(…, G·H)` -> torch's names, transposed, gates in the given order."""
    if len(weights) not in (2, 3):
        raise ValueError(f"`weights` must be the 2 or 3 arrays of a Keras {layer}, not {len(weights)}")
    kernel, recurrent, *bias = (torch.as_tensor(array) for array in weights)
    shapes = [tuple(array.shape) for array in (kernel, recurrent, *bias)]
    hidden_size = recurrent.shape[0]
    columns = len(order) * hidden_size
    bias_shapes = ((2, columns),) if layer == "GRU" else ((columns,),)
    if (
        kernel.shape[1:] != (columns,)
        or recurrent.shape[1:] != (columns,)
        or any(tuple(array.shape) not in bias_shapes for array in bias)
    ):
        raise ValueError(
            f"`weights` of shapes {shapes} don't fit a Keras {layer}: (F, {len(order)}·H), (H, {len(order)}·H) "
            f"and, with bias, {'(2, 3·H)' if layer == 'GRU' else f'({len(order)}·H,)'}"
        )

    def rows(array: Tensor) -> Tensor:
        blocks = array.split(hidden_size, dim=-1)
        return torch.cat([blocks[gate] for gate in order], dim=-1)

    state_dict = {"weight_ih": rows(kernel).t().contiguous(), "weight_hh": rows(recurrent).t().contiguous()}
    if bias:
        both = rows(bias[0]) if layer == "GRU" else torch.stack([rows(bias[0]), torch.zeros(columns).to(bias[0])])
        state_dict |= {"bias_ih": both[0].clone(), "bias_hh": both[1].clone()}
    return state_dict
