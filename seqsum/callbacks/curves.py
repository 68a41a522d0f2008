"""Curves that the network goes on with by itself: of the test's kind, and a user's own."""

from __future__ import annotations

import csv
import io
from typing import cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from seqsum.console import print_line
from seqsum.data import SequenceData, SineCurves
from seqsum.data.base import Batch
from seqsum.data.sine_curves import sine
from seqsum.figures.curves import plot_continuations
from seqsum.files import write_atomically
from seqsum.module import parts_of
from seqsum.networks.free_run import free_run
from seqsum.objectives import NextSample, Objective
from seqsum.run import data_of, module_of, run_folder

GIVEN = 30  # samples of a test curve before the network goes on by itself


class CurvePictures(Callback):
    """After a test, draws how curves of several frequencies are continued; for `predict`, a user's own."""

    def __init__(self) -> None:
        self.predicted: list[tuple[Tensor, Tensor]] = []  # samples given (T,), continuation (horizon,)

    @staticmethod
    def fits(data: SequenceData, objective: Objective) -> bool:
        """Whether it can draw what these make."""
        return isinstance(data, SineCurves) and isinstance(objective, NextSample)

    @torch.no_grad()
    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        folder, module = run_folder(trainer), module_of(pl_module)
        if folder is None or not trainer.is_global_zero:
            return
        horizon = cast("NextSample", module.objective).horizon
        periods, curves = spread_curves(cast("SineCurves", data_of(trainer)).periods, GIVEN + horizon)
        samples = free_run(parts_of(module), curves[:, :GIVEN, None].to(module.device), horizon).cpu()
        titles = [f"period {period:.1f} steps" for period in periods]
        figure = plot_continuations(curves[:, :GIVEN], {"network": samples}, titles, truth=curves)
        figure.savefig(folder / "test_continuations.png")
        print_line(f"Picture: {folder / 'test_continuations.png'}")

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.predicted = []

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Tensor, batch: Batch, *_: object
    ) -> None:
        self.predicted.append((batch.inputs[0, :, 0].cpu(), outputs[0].cpu()))

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        folder = run_folder(trainer)
        for given, samples in self.predicted if trainer.is_global_zero else []:
            print_line(f"Continued {len(given)} samples by {len(samples)}.")
            if (largest := float(given.abs().max())) > 1:
                print_line(f"The curve goes up to {largest:g}, those of the training up to 1: don't expect much.")
            if folder is not None:
                write_atomically(folder / "continuation.csv", as_csv(samples, first=len(given) + 1))
                plot_continuations(given[None], {"network": samples[None]}, [""]).savefig(folder / "continuation.png")
                print_line(f"Samples: {folder / 'continuation.csv'}")
                print_line(f"Picture: {folder / 'continuation.png'}")


def spread_curves(periods: tuple[float, float], steps: int, count: int = 4) -> tuple[list[float], Tensor]:
    """Curves from the shortest to the longest period, their frequencies evenly apart: periods, and `(count, steps)`."""
    frequencies = torch.linspace(1 / periods[0], 1 / periods[1], count)
    return (1 / frequencies).tolist(), sine(frequencies, torch.linspace(0, 0.75, count), steps)


def as_csv(samples: Tensor, first: int) -> str:
    """Samples `(T,)` with their steps, the first of which is given, and a heading."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["step", "sample"])
    writer.writerows([first + step, f"{value:.6g}"] for step, value in enumerate(samples.tolist()))
    return text.getvalue()
