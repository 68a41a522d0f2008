"""torch's own recurrent layers on sequences with a mask, which they don't take: the valid steps alone, packed."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seqsum.recurrent.recurrent import States


def run_masked(layers: nn.RNNBase, inputs: Tensor, state: States | None, mask: Tensor) -> tuple[Tensor, States]:
    """What `seqsum.LSTM` and its like do with a mask: masked steps take no part, and their outputs are zero.

    Args:
        layers: One of `torch.nn.RNN`, `LSTM` and `GRU`, batch first and in one direction.
        inputs: `(B, T, F)`.
        state: Before the first step, as the layers take it; None for zeros.
        mask: `(B, T)`, any pattern: the valid steps of a sequence need not follow each other.

    Returns:
        Outputs `(B, T, H)`, and the state after the last valid step of each sequence.
    """
    lengths = mask.sum(1)
    order = (~mask).int().argsort(dim=1, stable=True)  # (B, T), the valid steps first
    places = order.unsqueeze(-1)
    steps = inputs.gather(1, places.expand_as(inputs))  # (B, T, F)
    # packing knows no empty sequence: it gets one step, whose results are dropped
    packed = pack_padded_sequence(steps, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False)
    outputs, final = layers(packed, state)
    padded, _ = pad_packed_sequence(outputs, batch_first=True, total_length=mask.shape[1])  # (B, T, H)
    unmoved = torch.zeros_like(padded).scatter(1, places.expand_as(padded), padded)
    kept = unmoved.masked_fill(~mask.unsqueeze(-1), 0)
    return kept, _without_empty(final, state, (lengths == 0).view(1, -1, 1))


def _without_empty(final: States, initial: States | None, empty: Tensor) -> States:
    """Final states `(L, B, S)`, where empty sequences keep their initial ones."""
    if isinstance(final, Tensor):
        start = torch.zeros_like(final) if initial is None else initial
        return torch.where(empty, start, final)  # type: ignore[arg-type]  # a single state, as the final one is
    starts = [None] * len(final) if initial is None else initial
    return tuple(_without_empty(end, start, empty) for end, start in zip(final, starts, strict=True))  # type: ignore[misc]
