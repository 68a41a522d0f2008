"""Random numbers as a function of a seed and a counter: the same bits on every device, for any part of a batch.

The generator is SplitMix64 (Steele, Lea & Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014), that
of Java's `SplittableRandom`. Its number `n` is a hash of `seed + n · γ`. So there is no state, no order in which
numbers must be drawn, and those of a whole batch take a dozen integer operations.
"""

from __future__ import annotations

import torch
from torch import Tensor

DRAWS = 64  # counters that each row has


def random_uniform(seed: int | Tensor, rows: Tensor, draws: int) -> Tensor:
    """Draw numbers evenly from `[-1, 1)`, `(N, draws)`, for each row by itself.

    They are multiples of 2⁻²³, which float32 holds exactly, so that all devices compute the same.

    Args:
        seed: Seed of the batch, see `random_bits`.
        rows: Numbers of the wanted rows in the batch, int64 `(N,)`. The result is on their device.
        draws: Numbers for each row. More of them leave the first as they are.

    Raises:
        ValueError: If there are more draws than a row has counters.
    """
    if draws > DRAWS:
        raise ValueError(f"`draws` (={draws}) must be at most {DRAWS}")
    counters = rows.unsqueeze(1) * DRAWS + torch.arange(1, draws + 1, device=rows.device)
    return (random_bits(seed, counters) >> 40) * 2.0**-23


def random_bits(seed: int | Tensor, counters: Tensor) -> Tensor:
    """Number `n` of SplitMix64 for each counter `n` from 1: 64 random bits, as an int64.

    Two seeds below 2³² never give the same number at counters up to 2.9 · 10⁹: a multiple of γ by less than that is
    more than 2³² away from 0.

    Args:
        seed: Seed, an int64, or a tensor of one.
        counters: Counters, int64 of any shape.
    """
    # torch has few operations for uint64; sums and products of int64 wrap to the same bits
    bits = counters * _signed(0x9E3779B97F4A7C15) + seed  # γ: 2⁶⁴ divided by the golden ratio
    bits = (bits ^ _shift(bits, 30)) * _signed(0xBF58476D1CE4E5B9)
    bits = (bits ^ _shift(bits, 27)) * _signed(0x94D049BB133111EB)
    return bits ^ _shift(bits, 31)


def _shift(bits: Tensor, places: int) -> Tensor:
    """Shift right and fill with zeros, where torch fills with the sign."""
    return (bits >> places) & ((1 << 64 - places) - 1)


def _signed(bits: int) -> int:
    """The int64 with the same 64 bits."""
    return bits - (1 << 64) if bits >> 63 else bits
