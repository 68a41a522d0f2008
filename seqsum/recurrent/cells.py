"""One time step of a recurrent layer, as equations.

A cell knows nothing about time: `seqsum.recurrent.unroll` runs it over a sequence. To write a cell of
your own, subclass `RecurrentCell` and write `project` and `step`.

State travels as a list of tensors, `(B, H)` each, so that one loop serves every cell and TorchScript
knows the type.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

OutputActivation = Literal["tanh", "identity"]


class RecurrentCell(nn.Module):
    """Contract of every cell: one step of one layer in one direction.

    A step is cut in two. `project` is the part that does not depend on the state, so the loop runs it
    once for all time steps, as one large product. `step` is the rest.

    Args:
        input_size: Features per step, `F`.
        hidden_size: Units, `H`.
        num_states: Tensors in the state; two for the LSTM, which carries hidden and memory.

    Raises:
        ValueError: A size below one.
    """

    def __init__(self, input_size: int, hidden_size: int, num_states: int = 1) -> None:
        super().__init__()
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            if size < 1:
                raise ValueError(f"`{name}` (={size}) must be at least 1")
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.output_size = hidden_size
        self.num_states = num_states

    def project(self, input: Tensor) -> Tensor:
        """Input's contribution to the gates, `(…, F) -> (…, G·H)`; any leading axes."""
        raise NotImplementedError(f"{type(self).__name__} must define `project`")

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """`(B, G·H)` and the previous state -> output `(B, output_size)` and the new state."""
        raise NotImplementedError(f"{type(self).__name__} must define `step`")

    def initial_state(self, batch_size: int, like: Tensor) -> list[Tensor]:
        """Zero state, `(B, H)` each, of the dtype and on the device of `like`."""
        return [like.new_zeros(batch_size, self.hidden_size) for _ in range(self.num_states)]


class LSTMCell(RecurrentCell):
    r"""Long short-term memory (Hochreiter & Schmidhuber, 1997) with a forget gate (Gers et al., 2000).

    In the names of the code, with `σ` the logistic function and `*` element by element:

        input_gate  = σ(W_ii x + b_ii + W_hi hidden + b_hi)
        forget_gate = σ(W_if x + b_if + W_hf hidden + b_hf)
        cell_update = tanh(W_ig x + b_ig + W_hg hidden + b_hg)
        output_gate = σ(W_io x + b_io + W_ho hidden + b_ho)
        memory'     = forget_gate * memory + input_gate * cell_update
        hidden'     = output_gate * tanh(memory')
        output      = hidden'                    with output_activation="tanh", as in torch
                    = output_gate * memory'      with output_activation="identity"

    The identity output leaves the recurrence as it is and only lets later layers read the memory
    unsquashed: a linear head can then count beyond the values seen in training.

    Weights are packed and named as in `torch.nn.LSTMCell`: rows in gate order input, forget, cell
    update, output (Keras packs i, f, c, o too, but transposed and with a single bias vector).

        weight_ih (4·H, F) · weight_hh (4·H, H) · bias_ih (4·H,) · bias_hh (4·H,)

    They start better than torch's: recurrent weights orthogonal gate by gate (Saxe et al., 2014), so
    that a signal neither grows nor shrinks on its way back through time; input weights Glorot-uniform
    gate by gate; biases zero, but one in `bias_ih` for the forget gate, so that memory is kept at the
    start and gradients pass (Jozefowicz et al., 2015).

    Args:
        input_size: Features per step, `F`.
        hidden_size: Units, `H`.
        bias: Whether the gates have biases.
        output_activation: "tanh" or "identity", see the equations.

    Raises:
        ValueError: A size below one or an unknown `output_activation`.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        output_activation: OutputActivation = "tanh",
    ) -> None:
        super().__init__(input_size, hidden_size, num_states=2)
        if output_activation not in get_args(OutputActivation):
            raise ValueError(
                f"`output_activation` (={output_activation!r}) must be one of {get_args(OutputActivation)}"
            )
        self.output_activation = output_activation
        self.weight_ih = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(4 * hidden_size)) if bias else None
        self.bias_hh = nn.Parameter(torch.empty(4 * hidden_size)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw fresh weights, see the class docstring."""
        for gate in self.weight_ih.split(self.hidden_size):
            nn.init.xavier_uniform_(gate)
        for gate in self.weight_hh.split(self.hidden_size):
            nn.init.orthogonal_(gate)
        if self.bias_ih is not None and self.bias_hh is not None:
            nn.init.zeros_(self.bias_ih)
            nn.init.zeros_(self.bias_hh)
            nn.init.ones_(self.bias_ih[self.hidden_size : 2 * self.hidden_size])

    def project(self, input: Tensor) -> Tensor:
        """`W_i· x` and both biases for all four gates, `(…, F) -> (…, 4·H)`."""
        projected = F.linear(input, self.weight_ih, self.bias_ih)
        return projected if self.bias_hh is None else projected + self.bias_hh

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """One step of the equations: `(B, 4·H)`, [hidden, memory] -> output `(B, H)`, new state."""
        hidden, memory = state[0], state[1]
        gates = projected + F.linear(hidden, self.weight_hh)
        # not chunk: TorchScript's own derivative of it drops gates that have no gradient
        input_gate, forget_gate, cell_update, output_gate = gates.split(self.hidden_size, dim=-1)
        input_gate = torch.sigmoid(input_gate)
        forget_gate = torch.sigmoid(forget_gate)
        cell_update = torch.tanh(cell_update)
        output_gate = torch.sigmoid(output_gate)
        memory = forget_gate * memory + input_gate * cell_update
        hidden = output_gate * torch.tanh(memory)
        output = output_gate * memory if self.output_activation == "identity" else hidden
        return output, [hidden, memory]

    def forward(self, input: Tensor, state: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """One step from input to state, as `torch.nn.LSTMCell`: `(B, F)`, (hidden, memory) -> (hidden, memory)."""
        previous = self.initial_state(input.shape[0], input) if state is None else [state[0], state[1]]
        new_state = self.step(self.project(input), previous)[1]
        return new_state[0], new_state[1]
