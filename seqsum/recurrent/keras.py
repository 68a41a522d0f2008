"""Convert Keras weights to the state dict of a cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def rnn_from_keras(weights: Sequence[Any]) -> dict[str, Tensor]:
    """Convert `keras.layers.SimpleRNN.get_weights()` to the state dict of an `RNNCell`.

    Args:
        weights: Arrays: kernel `(F, H)`, recurrent kernel `(H, H)` and, unless `use_bias=False`, bias `(H,)`.

    Raises:
        ValueError: The number of arrays is wrong, or their shapes don't fit together.
    """
    return _convert(weights, "SimpleRNN", order=[0])


def lstm_from_keras(weights: Sequence[Any]) -> dict[str, Tensor]:
    """Convert `keras.layers.LSTM.get_weights()` to the state dict of an `LSTMCell`.

    Keras has the gates in the same order, i, f, c, o, but transposed matrices and a single bias, which
    becomes `bias_ih`; `bias_hh` is zero.

    Args:
        weights: Arrays: kernel `(F, 4·H)`, recurrent kernel `(H, 4·H)` and, unless `use_bias=False`,
            bias `(4·H,)`.

    Raises:
        ValueError: The number of arrays is wrong, or their shapes don't fit together.
    """
    return _convert(weights, "LSTM", order=[0, 1, 2, 3])


def gru_from_keras(weights: Sequence[Any]) -> dict[str, Tensor]:
    """Convert `keras.layers.GRU.get_weights()` to the state dict of a `GRUCell`.

    The layer must have `reset_after=True`, Keras's default. Keras orders the gates z, r, h: update, reset,
    candidate. Its bias array holds both biases.

    Args:
        weights: Arrays: kernel `(F, 3·H)`, recurrent kernel `(H, 3·H)` and, unless `use_bias=False`,
            bias `(2, 3·H)`.

    Raises:
        ValueError: The number of arrays is wrong, their shapes don't fit together, or there is a single bias:
            the layer has `reset_after=False` and computes something else.
    """
    if len(weights) == 3 and torch.as_tensor(weights[2]).dim() == 1:
        raise ValueError(
            f"`weights` with a bias of shape {tuple(torch.as_tensor(weights[2]).shape)} come from a GRU with "
            "reset_after=False, which resets before the product; GRUCell resets after it"
        )
    return _convert(weights, "GRU", order=[1, 0, 2])


def _convert(weights: Sequence[Any], layer: str, order: list[int]) -> dict[str, Tensor]:
    """Transpose kernels `(…, G·H)`, reorder the gates of kernels and biases, and give them torch's names."""
    if len(weights) not in (2, 3):
        raise ValueError(f"`weights` must be the 2 or 3 arrays of a Keras {layer}, not {len(weights)}")
    kernel, recurrent, *bias = (torch.as_tensor(array) for array in weights)
    shapes = [tuple(array.shape) for array in (kernel, recurrent, *bias)]
    hidden_size = recurrent.shape[0] if recurrent.dim() else 0
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
