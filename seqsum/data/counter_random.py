"""Random numbers as a function of a seed and a counter: the same bits on every device, for any part of a batch.

The generator is SplitMix64 (Steele, Lea & Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014), as
in Java's `SplittableRandom`. Its number `n` is a hash of `seed + n · γ`. It has no state, numbers can be drawn in any
order, and a whole batch takes a dozen integer operations.
"""

from __future__ import annotations

import torch
from torch import Tensor

DRAWS = 64  # counters per row


def random_uniform(seed: int | Tensor, rows: Tensor, draws: int) -> Tensor:
    """Draw numbers uniformly from `[-1, 1)`, `(N, draws)`; each row depends on its index alone.

    The numbers are multiples of 2⁻²³, which float32 represents exactly, so all devices compute the same.

    Args:
        seed: Seed of the batch, see `random_bits`.
        rows: Indices of the rows in the batch, int64 `(N,)`. The result is on their device.
        draws: Numbers per row. A larger value only appends numbers to each row.

    Raises:
        ValueError: If there are more draws than a row has counters.
    """
    if draws > DRAWS:
        raise ValueError(f"`draws` (={draws}) must be at most {DRAWS}")
    counters = rows.unsqueeze(1) * DRAWS + torch.arange(1, draws + 1, device=rows.device)
    return (random_bits(seed, counters) >> 40) * 2.0**-23


def random_bits(seed: int | Tensor, counters: Tensor) -> Tensor:
    """Compute SplitMix64's number `n` for each counter `n`, counted from 1: 64 random bits, as an int64.

    Different seeds below 2³² never share a number at counters up to 2.9 · 10⁹: for every `n` up to there, `n · γ` is
    more than 2³² away from 0, modulo 2⁶⁴.

    Args:
        seed: Seed, an int64 or a tensor that holds one.
        counters: Counters, int64 of any shape.
    """
    # int64, because torch has few operations for uint64; sums and products wrap to the same bits
    bits = counters * _signed(0x9E3779B97F4A7C15) + seed  # γ: 2⁶⁴ divided by the golden ratio
    bits = (bits ^ _shift(bits, 30)) * _signed(0xBF58476D1CE4E5B9)
    bits = (bits ^ _shift(bits, 27)) * _signed(0x94D049BB133111EB)
    return bits ^ _shift(bits, 31)


def _shift(bits: Tensor, places: int) -> Tensor:
    """Shift right and fill with zeros; torch's own `>>` fills with the sign bit."""
    return (bits >> places) & ((1 << 64 - places) - 1)


def _signed(bits: int) -> int:
    """Reinterpret 64 unsigned bits as an int64."""
    return bits - (1 << 64) if bits >> 63 else bits
