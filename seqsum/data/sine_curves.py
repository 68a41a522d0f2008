"""Sine curves of random frequency and phase; the task is to predict the next sample."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from seqsum.data.base import Batch, unlabelled
from seqsum.data.curve_file import read_samples
from seqsum.data.drawn import DrawnSequences
from seqsum.errors import InputError, check_at_least
from seqsum.paths import expand_home


class SineCurves(DrawnSequences):
    """Samples of sine curves of amplitude 1; the target at every step is the next sample.

    Frequencies are uniform between those of the two periods; phases are uniform over the circle.

    Args:
        periods: Shortest and longest period, in steps.
        sequence_length: Samples that the network reads, `T`.
        batch_size: Sequences per batch on each device, `B`.
        epoch_size: Sequences per epoch; the network is validated after each epoch.
        seed: Seed of the training batches; the command line passes `seed_everything`. Validation and test
            sequences are the same for every seed.
        curve: For `predict`: a CSV file of a curve to continue, one sample per line.
    """

    dataset = "sine_curves"

    def __init__(
        self,
        periods: tuple[float, float] = (10.0, 40.0),
        sequence_length: int = 100,
        batch_size: int = 64,
        epoch_size: int = 32_000,
        seed: int = 0,
        curve: str | None = None,
    ) -> None:
        super().__init__(batch_size, epoch_size, seed)
        check_at_least("--data.sequence_length", sequence_length, 1)
        if not 2 < periods[0] <= periods[1] < math.inf:
            raise InputError(f"`--data.periods` (={list(periods)}) must be [shortest, longest], above 2 steps")
        self.save_hyperparameters(ignore=["curve"])
        self.periods = periods
        self.sequence_length = sequence_length
        self.curve = curve
        self.given: Tensor | None = None  # the user's curve, (T,)

    def draw(self, count: int, generator: torch.Generator) -> Batch:
        samples = draw_curves(count, self.sequence_length + 1, self.periods, generator)  # (B, T + 1)
        return Batch(samples[:, :-1].unsqueeze(-1), samples[:, 1:])

    def setup(self, stage: str) -> None:
        if stage != "predict":
            super().setup(stage)
        elif self.curve is None:
            raise InputError("`--data.curve` must name a CSV file to predict from, one sample a line")
        else:
            self.given = read_samples(Path(expand_home(self.curve)))

    def own_batches(self) -> list[Batch]:
        """Serve the user's curve as a batch of one sequence, inputs `(1, T, 1)`."""
        return [] if self.given is None else [unlabelled(self.given.view(1, -1, 1))]

    def describe(self) -> str:
        shortest, longest = self.periods
        return (
            f"sine curves with periods of {shortest:g} to {longest:g} steps, {self.sequence_length} samples each, "
            f"{self.epoch_size:,} sequences an epoch"
        )


def draw_curves(count: int, steps: int, periods: tuple[float, float], generator: torch.Generator) -> Tensor:
    """Draw `count` curves `(B, T)` with a generator, on its device."""
    highest, lowest = (1 / period for period in periods)
    uniform = torch.rand(2, count, generator=generator, device=generator.device)
    return sine(lowest + (highest - lowest) * uniform[0], uniform[1], steps)


def sine(frequencies: Tensor, phases: Tensor, steps: int) -> Tensor:
    """Compute `sin(2 π (frequency t + phase))` for t = 0, 1, …

    Args:
        frequencies: `(B,)`, in periods per step.
        phases: `(B,)`, in periods.
        steps: `T`.

    Returns:
        `(B, T)`.
    """
    times = torch.arange(steps, device=frequencies.device)
    return torch.sin(2 * math.pi * (frequencies.unsqueeze(-1) * times + phases.unsqueeze(-1)))
