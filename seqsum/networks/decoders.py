"""Decoders: recurrences that read what was written so far and attend to a source sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from seqsum.errors import check_choice
from seqsum.networks.recurrences import TORCH_LAYERS, build_recurrence, sizes_of
from seqsum.recurrent import AttentionCell, Recurrent, RecurrentCell, trace
from seqsum.recurrent.backends import Backend
from seqsum.recurrent.cells import Attention, SourceAttention

Attends = Literal["each_step", "after"]


class Decoder(nn.Module):
    """Base class: reads inputs `(B, T, F)`, attends to a source `(B, S, E)`, and gives `[output; context]`.

    Attributes:
        output_size: Features of each output, `O`: those of the recurrence and of the context.
        state_size: Features of each state of the recurrence.
    """

    output_size: int
    state_size: Sequence[int]

    def source(self, values: Tensor, mask: Tensor | None) -> list[Tensor]:
        """Prepare a source `(B, S, E)`, whose valid steps the mask `(B, S)` tells, for any number of steps."""
        raise NotImplementedError(f"{type(self).__name__} must define `source`")

    def forward(self, inputs: Tensor, states: Sequence[Tensor], values: Tensor, mask: Tensor | None) -> Tensor:
        """Run all steps from states `(B, H)`: outputs `(B, T, O)`."""
        raise NotImplementedError(f"{type(self).__name__} must define `forward`")

    def weights(self, inputs: Tensor, states: Sequence[Tensor], values: Tensor, mask: Tensor | None) -> Tensor:
        """Return how much each step attends to each step of the source, `(B, T, S)`."""
        raise NotImplementedError(f"{type(self).__name__} must define `weights`")

    def step(self, inputs: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Run one step: inputs `(B, F)`, states and behind them what `source` made -> outputs `(B, O)`, the same."""
        raise NotImplementedError(f"{type(self).__name__} must define `step`")


class AttendingDecoder(Decoder):
    """Attends in every step of the recurrence, which reads the context: see `AttentionCell` (Bahdanau et al., 2015).

    Args:
        cell: Reads inputs and contexts, `F + E` features.
        attention: "additive", "multiplicative" or "none".
        source_size: Features of each source step, `E`.
        backend: How the loop over time runs.
    """

    def __init__(self, cell: RecurrentCell, attention: Attention, source_size: int, backend: Backend = "auto") -> None:
        super().__init__()
        self.recurrence = Recurrent(
            AttentionCell(cell, attention, source_size=source_size), batch_first=True, backend=backend
        )
        self.output_size = cell.output_size + source_size
        self.state_size = cell.state_size

    @property
    def cell(self) -> AttentionCell:
        """The attention cell."""
        cell = self.recurrence.cells[0]
        assert isinstance(cell, AttentionCell)
        return cell

    def source(self, values: Tensor, mask: Tensor | None) -> list[Tensor]:
        return self.cell.source(values, mask)

    def forward(self, inputs: Tensor, states: Sequence[Tensor], values: Tensor, mask: Tensor | None) -> Tensor:
        outputs: Tensor = self.recurrence(inputs, as_layers(states), constants=(values, mask))[0]
        return outputs

    def weights(self, inputs: Tensor, states: Sequence[Tensor], values: Tensor, mask: Tensor | None) -> Tensor:
        with trace(self.recurrence) as traced:
            self(inputs, states, values, mask)
        return traced["attention_l0"]

    def step(self, inputs: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        return self.cell.step(self.cell.project(inputs), states)


class LateAttention(Decoder):
    """Attends after the recurrence, at all steps at once: the recurrence doesn't read the context.

    It is Luong et al.'s attention (2015) without input feeding. The recurrence runs by the fastest backend, and the
    attention of a whole sentence is two products.

    Args:
        recurrence: Reads inputs, `F` features, batch first; one layer and one direction.
        attention: "additive", "multiplicative" or "none".
        source_size: Features of each source step, `E`.
    """

    def __init__(self, recurrence: nn.Module, attention: Attention, source_size: int) -> None:
        super().__init__()
        self.recurrence = recurrence
        query_size, self.state_size = sizes_of(recurrence)
        self.source_attention = SourceAttention(attention, query_size, source_size)
        self.output_size = query_size + source_size

    def source(self, values: Tensor, mask: Tensor | None) -> list[Tensor]:
        return self.source_attention.source(values, mask)

    def forward(self, inputs: Tensor, states: Sequence[Tensor], values: Tensor, mask: Tensor | None) -> Tensor:
        hidden, _, context = self._attend(inputs, states, values, mask)
        return torch.cat([hidden, context], dim=-1)

    def weights(self, inputs: Tensor, states: Sequence[Tensor], values: Tensor, mask: Tensor | None) -> Tensor:
        return self._attend(inputs, states, values, mask)[1]

    def _attend(
        self, inputs: Tensor, states: Sequence[Tensor], values: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the recurrence's outputs `(B, T, H)`, weights of the source `(B, T, S)`, and contexts `(B, T, E)`."""
        hidden = self.recurrence(inputs, as_layers(states))[0]
        weights, context = self.source_attention(hidden.transpose(0, 1), *self.source(values, mask))
        return hidden, weights.transpose(0, 1), context.transpose(0, 1)

    def step(self, inputs: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        count = len(self.state_size)
        hidden, after = self.recurrence(inputs.unsqueeze(1), as_layers(states[:count]))
        hidden = hidden.squeeze(1)
        _, context = self.source_attention(hidden, *states[count:])
        return torch.cat([hidden, context], dim=-1), [*of_layers(after), *states[count:]]


def build_decoder(
    cell: str,
    input_size: int,
    hidden_size: int,
    attention: Attention,
    source_size: int,
    attends: Attends = "each_step",
    backend: Backend = "auto",
) -> Decoder:
    """Build the decoder of a `cell`, see `build_recurrence`.

    Raises:
        ValueError: `attends` is unknown, or the cell is torch's own, which can't attend at each step.
    """
    check_choice("attends", attends, Attends)
    late = attends == "after"
    if not late and cell in TORCH_LAYERS:
        raise ValueError(f"`attends` (={attends!r}) must be 'after' for `cell` {cell!r}, which is torch's own")
    features = input_size if late else input_size + source_size
    recurrence = build_recurrence(cell, features, hidden_size, backend=backend, output_activation=activation_of(cell))
    if late:
        return LateAttention(recurrence, attention, source_size)
    (inner,) = recurrence.cells  # type: ignore[misc]  # a Recurrent's, of one layer
    return AttendingDecoder(inner, attention, source_size, backend)


def activation_of(cell: str) -> Literal["tanh"] | None:
    """Return the activation of an LSTM's output: running sums alone need one without."""
    return "tanh" if cell == "lstm" else None


def as_layers(states: Sequence[Tensor]) -> Tensor | tuple[Tensor, ...]:
    """Turn states `(B, H)` into those of one layer, `(1, B, H)`; a tuple if there are several."""
    layers = tuple(state.unsqueeze(0) for state in states)
    return layers if len(layers) > 1 else layers[0]


def of_layers(states: Tensor | tuple[Tensor, ...]) -> list[Tensor]:
    """Join the states of all directions, `(D, B, H)`, to one for each row, `(B, D·H)`."""
    several = states if isinstance(states, tuple) else (states,)
    return [state.transpose(0, 1).flatten(1) for state in several]
