"""Copy memory: remember symbols, wait, repeat them (Hochreiter & Schmidhuber, 1997; Arjovsky et al., 2016)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from seqsum.data.base import Batch
from seqsum.data.drawn import DrawnSequences
from seqsum.errors import check_at_least


class CopyMemory(DrawnSequences):
    """Sequences of symbols that the network must repeat in order after a delimiter.

        step      1 … S        S+1 … S+N     S+N+1        S+N+2 … 2S+N+1
        input     symbols      blanks        delimiter    blanks
        target    blanks       blanks        blank        the symbols again

    Args:
        to_remember_len: Number of symbols to repeat, `S`.
        blank_separation_len: Number of blanks between the last symbol and the delimiter, `N`.
        num_symbols: Number of different symbols, 0, 1, …; the next number is the blank, the one after it the delimiter.
        batch_size: Sequences per batch on each device, `B`.
        epoch_size: Sequences per epoch; the network is validated after each epoch.
        seed: Seed of the training batches; the command line passes `seed_everything`. Validation and test
            sequences are the same for every seed.
    """

    dataset = "copy_memory"

    def __init__(
        self,
        to_remember_len: int = 8,
        blank_separation_len: int = 0,
        num_symbols: int = 9,
        batch_size: int = 64,
        epoch_size: int = 32_000,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size, epoch_size, seed)
        check_at_least("--data.to_remember_len", to_remember_len, 1)
        check_at_least("--data.blank_separation_len", blank_separation_len, 0)
        check_at_least("--data.num_symbols", num_symbols, 2)
        self.save_hyperparameters()
        self.to_remember_len = to_remember_len
        self.blank_separation_len = blank_separation_len
        self.num_symbols = num_symbols

    @classmethod
    def sizes(cls, settings: Mapping[str, Any]) -> dict[str, int]:
        """Return `num_symbols`, and `input_size`, which has the blank and the delimiter too."""
        if (symbols := settings.get("num_symbols")) is None:  # a class of a user's own may have no such argument
            return {}
        return {"num_symbols": symbols, "input_size": symbols + 2}

    def draw(self, count: int, generator: torch.Generator) -> Batch:
        size = (count, self.to_remember_len)
        symbols = torch.randint(self.num_symbols, size, generator=generator, device=generator.device)
        return copy_task(symbols, self.num_symbols, self.blank_separation_len)

    def describe(self) -> str:
        return (
            f"{self.to_remember_len} of {self.num_symbols} symbols to be repeated after "
            f"{self.blank_separation_len} blanks and a delimiter, {self.epoch_size:,} sequences an epoch"
        )


def copy_task(symbols: Tensor, num_symbols: int, blanks: int) -> Batch:
    """Make a batch from symbols `(B, S)`: one-hot inputs `(B, T, num_symbols + 2)` and targets `(B, T)`.

    `T = 2 S + blanks + 1`.
    """
    blank, delimiter = num_symbols, num_symbols + 1
    inputs = F.pad(symbols, (0, blanks + 1 + symbols.shape[1]), value=blank)  # (B, T)
    inputs[:, symbols.shape[1] + blanks] = delimiter
    targets = F.pad(symbols, (symbols.shape[1] + blanks + 1, 0), value=blank)  # (B, T)
    return Batch(F.one_hot(inputs, num_symbols + 2).float(), targets)
