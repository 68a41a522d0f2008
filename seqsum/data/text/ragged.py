"""Sequences of different lengths in one flat tensor."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Ragged(NamedTuple):
    """Sequences one behind the other, without padding.

    Attributes:
        values: All values, `(N,)`.
        offsets: Where each sequence starts, and the end of the last, int64 `(M + 1,)`.
    """

    values: Tensor
    offsets: Tensor

    @property
    def lengths(self) -> Tensor:
        """Length of each sequence, `(M,)`."""
        return self.offsets.diff()

    def select(self, rows: Tensor) -> Ragged:
        """Return the sequences of these rows, in their order."""
        lengths = self.lengths[rows]
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        within = torch.arange(int(offsets[-1])) - offsets[:-1].repeat_interleave(lengths)
        return Ragged(self.values[self.offsets[rows].repeat_interleave(lengths) + within], offsets)

    def join(self, other: Ragged) -> Ragged:
        """Return these sequences and then those of another."""
        return Ragged(
            torch.cat([self.values, other.values]), torch.cat([self.offsets, self.offsets[-1] + other.offsets[1:]])
        )

    def to(self, device: torch.device) -> Ragged:
        """Return a copy on another device."""
        return Ragged(self.values.to(device), self.offsets.to(device))


def pad(values: Tensor, starts: Tensor, lengths: Tensor, steps: int, before: bool = False) -> tuple[Tensor, Tensor]:
    """Cut pieces out of flat values and pad them with zeros to the same length, on the device of the values.

    Args:
        values: `(N,)`.
        starts: Where each piece starts, `(B,)`.
        lengths: Length of each piece, `(B,)`, at most `steps`.
        steps: Length of the result, `T`.
        before: Whether to pad before the first value instead of behind the last.

    Returns:
        The padded pieces `(B, T)`, and the mask `(B, T)`, True where there is a value.
    """
    place = torch.arange(steps, device=values.device).unsqueeze(0)  # (1, T)
    within = place - (steps - lengths).unsqueeze(1) if before else place.expand(len(lengths), steps)
    mask = (within >= 0) & (within < lengths.unsqueeze(1))
    found = (starts.unsqueeze(1) + within).clamp(0, max(len(values) - 1, 0))
    return values[found].masked_fill(~mask, 0), mask
