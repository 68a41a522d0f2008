"""Runs recurrent layers with a mask. torch's own support none: their valid steps are packed."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seqsum.recurrent.recurrent import States


def run_masked(layers: nn.Module, inputs: Tensor, state: States | None, mask: Tensor | None) -> tuple[Tensor, States]:
    """Run layers with a mask, as `seqsum.LSTM` does: masked steps are skipped, and their outputs are zero.

    Args:
        layers: Layers of seqsum, or a `torch.nn.RNN`, `LSTM` or `GRU`, batch first, in one or both directions.
        inputs: `(B, T, F)`.
        state: Initial state, as the layers take it; None for zeros.
        mask: `(B, T)`, True where a step exists, in any pattern: valid steps need not be consecutive. None if all do.

    Returns:
        Outputs `(B, T, D·H)`, and for each direction the state after the last valid step that it reads.
    """
    if mask is None or inputs.shape[0] == 0:  # packing refuses an empty batch
        return layers(inputs, state)
    if isinstance(layers, nn.RNNBase):
        return _run_packed(layers, inputs, state, mask)
    return layers(inputs, state, mask=mask)


def _run_packed(layers: nn.RNNBase, inputs: Tensor, state: States | None, mask: Tensor) -> tuple[Tensor, States]:
    lengths = mask.sum(1)
    order = (~mask).int().argsort(dim=1, stable=True)  # (B, T), the valid steps first
    places = order.unsqueeze(-1)
    # packing refuses empty sequences: they get one step of zeros, whose results are dropped
    steps = inputs.masked_fill(~mask.unsqueeze(-1), 0).gather(1, places.expand_as(inputs))  # (B, T, F)
    packed = pack_padded_sequence(steps, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False)
    outputs, final = layers(packed, state)
    padded, _ = pad_packed_sequence(outputs, batch_first=True, total_length=mask.shape[1])  # (B, T, D·H)
    unmoved = torch.zeros_like(padded).scatter(1, places.expand_as(padded), padded)
    kept = unmoved.masked_fill(~mask.unsqueeze(-1), 0)
    return kept, _without_empty(final, state, (lengths == 0).view(1, -1, 1))


def _without_empty(final: States, initial: States | None, empty: Tensor) -> States:
    """Replace the final states `(L·D, B, S)` of empty sequences by their initial states."""
    if isinstance(final, Tensor):
        start = torch.zeros_like(final) if initial is None else initial
        return torch.where(empty, start, final)  # type: ignore[arg-type]  # a single state, as the final one is
    starts = [None] * len(final) if initial is None else initial
    return tuple(_without_empty(end, start, empty) for end, start in zip(final, starts, strict=True))  # type: ignore[misc]
