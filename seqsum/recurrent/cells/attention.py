"""Attention: a cell that looks at a source sequence, such as an encoder's outputs, at each of its own steps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from seqsum.recurrent.alike import real_weight
from seqsum.recurrent.cells.base import RecurrentCell, check_whole, require_cell
from seqsum.recurrent.cells.source_attention import Attention, SourceAttention


class AttentionCell(RecurrentCell):
    r"""Wrap a cell so that each step attends to a source sequence: the decoder of Bahdanau et al. (2015).

    The equations, with the names of the code, for source steps `s` with values `(B, S, E)`:

        keys[s]    = W_k values[s]                              once for a sequence, not once a step
        scores[s]  = v · tanh(W_q hidden + keys[s])             additive (Bahdanau et al., 2015)
                   = hidden · keys[s] / √P                      multiplicative (Luong et al., 2015, "general")
                   = 0                                          none
        weights    = softmax of scores over the valid source steps
        context    = Σ_s weights[s] values[s]
        output', … = the wrapped cell's step, from [input; context]
        output     = [output'; context]

    `hidden` is the wrapped cell's first state before the step, of size `P`. Luong et al. score the state after the
    step and don't scale; here both attentions read the same state and differ in their scores alone. Dividing by √P
    (Vaswani et al., 2017) keeps large cells from starting with a softmax that has no gradient. With "none", all valid
    source steps weigh the same: the context is the mean of the values, the same at every step, as in Cho et al. (2014),
    who take the encoder's last state. The output has what Bahdanau et al. predict a word from, beside the input.

    Each call is given the source. `Recurrent` computes the keys once; each layer and direction has its own:

        cell = AttentionCell(GRUCell(10 + 6, 20), "additive", source_size=6)
        outputs, final = Recurrent(cell, batch_first=True)(inputs, constants=(values, mask))     # (B, T, 20 + 6)

    To decode step by step, in evaluation, compute them once as well and call the step:

        state = cell.initial_state(batch_size, values) + cell.source(values, mask)
        output, state = cell.step(cell.project(input), state)                                    # as often as you like

    `seqsum.trace` records the weights as `attention_l0`, `(B, T, S)`. A row without any valid source step has weights
    and a context of zero.

    Args:
        cell: Any cell whose first state is its hidden state. It reads the input and the context, so its `input_size`
            is `F + E`; the `input_size` of the `AttentionCell` is `F`. The `output_size` is the cell's plus `E`.
        attention: "additive", "multiplicative" or "none".
        source_size: Features of each source step, `E`.
        attention_size: Features of each key, `A`, for "additive". Default: `P`, the only size for "multiplicative".

    Constants:
        values: `(B, S, E)`, what to attend to.
        mask: `(B, S)` bool, which source steps are valid; any pattern. None: all are. Masked steps take no part,
            whatever they hold.

    Raises:
        TypeError: `cell` is no cell, or a size is not an integer.
        ValueError: `attention` is unknown, `source_size` leaves the cell no input, or `attention_size` has no effect.
    """

    def __init__(
        self,
        cell: RecurrentCell,
        attention: Attention = "additive",
        *,
        source_size: int,
        attention_size: int | None = None,
    ) -> None:
        require_cell(cell)
        _check_options(cell, source_size)
        sizes: dict[str, Any] = {"state_size": cell.state_size, "output_size": cell.output_size + source_size}
        super().__init__(cell.input_size - source_size, cell.hidden_size, **sizes)
        self.source_size = source_size
        self.attention = attention
        self.state_names = tuple(cell.state_names)
        self.gate_names = ("attention", *cell.gate_names)
        self.constant_names = (*getattr(cell, "constant_names", ()), "values", "mask")
        self.cell = cell
        like = real_weight(cell, next(cell.parameters(), torch.empty(0)))
        on: dict[str, Any] = {"device": like.device, "dtype": like.dtype}
        self.source_attention = SourceAttention(attention, cell.state_size[0], source_size, attention_size, **on)

    def project(self, input: Tensor) -> Tensor:
        """Return the input: the wrapped cell projects it together with the context, which depends on the state."""
        return input

    def attend(self, state: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Compute the source steps' weights, `(…, S)`, and the context, `(…, E)`, from the state before a step.

        Raises:
            ValueError: The state doesn't end with what `source` makes.
        """
        if len(state) < len(self.state_size) + 3:
            raise ValueError(
                "`state` must end with what `source` makes of the values: "
                "cell.initial_state(batch_size, values) + cell.source(values, mask)"
            )
        keys, values, bias = state[-3], state[-2], state[-1]
        attended: tuple[Tensor, Tensor] = self.source_attention(state[0], keys, values, bias)
        return attended

    def step(self, projected: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Run one step: input `(B, F)`, wrapped states and constants, keys, values, bias -> output `(B, O)`, state."""
        context = self.attend(state)[1]
        read = self.cell.project(torch.cat([projected, context], dim=-1))
        output, new_state = self.cell.step(read, state[:-3])
        return torch.cat([output, context], dim=-1), new_state + state[-3:]

    def gates(self, projected: Tensor, state: list[Tensor]) -> list[Tensor]:
        """Compute the weights of the source steps, `(…, S)`, and the wrapped cell's gates."""
        weights, context = self.attend(state)
        if len(self.gate_names) == 1:
            return [weights]
        read = self.cell.project(torch.cat([projected, context], dim=-1))
        return [weights, *self.cell.gates(read, state[:-3])]

    def initial_state(self, batch_size: int, like: Tensor) -> list[Tensor]:
        """Return the wrapped cell's initial state."""
        return self.cell.initial_state(batch_size, like)

    def constants(
        self, batch_size: int, like: Tensor, generator: Generator | None = None, *given: Tensor | None
    ) -> list[Tensor]:
        """Return the wrapped cell's constants and those of `source`, from `values` and `mask`, the last two given."""
        *others, values, mask = given
        if values is None:
            raise ValueError(f"`values` of `constants` (=None) must be (B, S, {self.source_size})")
        return self.cell.constants(batch_size, like, generator, *others) + self.source(values, mask)

    def source(self, values: Tensor, mask: Tensor | None = None) -> list[Tensor]:
        """Prepare a source for any number of steps, see `SourceAttention.source`."""
        return self.source_attention.source(values, mask)

    def like(self, input_size: int, **changes: Any) -> RecurrentCell:
        """Make another around a cell `like` the wrapped one; `changes` are that cell's."""
        return self.remade(cell=self.cell.like(input_size + self.source_size, **changes))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, attention={self.attention!r}, source_size={self.source_size}"


def _check_options(cell: RecurrentCell, source_size: int) -> None:
    check_whole("source_size", source_size)
    if not 1 <= source_size < cell.input_size:
        raise ValueError(
            f"`source_size` (={source_size}) must be between 1 and {cell.input_size - 1}: the wrapped "
            f"{type(cell).__name__} reads `input_size` (={cell.input_size}) features, the input's and the context's"
        )
    if "attention" in cell.gate_names:
        raise ValueError(f"`cell` (={type(cell).__name__}) attends already")
