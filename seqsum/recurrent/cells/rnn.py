"""The simple recurrent network."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from seqsum.recurrent.cells.packed import PackedCell

Nonlinearity = Literal["tanh", "relu"]


class RNNCell(PackedCell):
    r"""Simple recurrent network (Elman, 1990).

        hidden' = tanh(W_ih x + b_ih + W_hh hidden + b_hh)        or relu instead of tanh
        output  = hidden'

    Weights are named as in `torch.nn.RNNCell`; see `PackedCell` for the initial values. Keras's `SimpleRNN`
    has transposed matrices and a single bias.

        weight_ih (H, F) · weight_hh (H, H) · bias_ih (H,) · bias_hh (H,)

    Args:
        input_size: Features per step, `F`.
        hidden_size: Units, `H`.
        bias: Whether there are biases.
        nonlinearity: "tanh" or "relu".
        device, dtype: Device and type of the parameters.
        options: `recurrent_dropout`, `layer_norm` and `recurrent_bias`, see `PackedCell`.

    Raises:
        TypeError: A size is not an integer, or a switch is not a bool.
        ValueError: A size is below one, `nonlinearity` is unknown, or a probability is outside [0, 1].
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: Nonlinearity = "tanh",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, num_gates=1, device=device, dtype=dtype, **options)
        if nonlinearity not in get_args(Nonlinearity):
            raise ValueError(f"`nonlinearity` (={nonlinearity!r}) must be one of {get_args(Nonlinearity)}")
        self.nonlinearity = nonlinearity
        self.reset_parameters()

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Run one step: `(B, H)`, [hidden] -> output `(B, H)`, new state."""
        summed = projected + self.recur(state)
        hidden = torch.relu(summed) if self.nonlinearity == "relu" else torch.tanh(summed)
        return hidden, [hidden] + state[1:]
