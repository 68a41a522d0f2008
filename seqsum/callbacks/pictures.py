"""Digits with the running sums predicted for them, as an image file."""

from __future__ import annotations

from typing import Any, cast

import rich
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.table import Table
from torch import Tensor

from seqsum.callbacks.run import data_of, module_of, print_line, run_folder
from seqsum.data import DigitSums, SequenceData
from seqsum.data.base import Batch
from seqsum.data.sums import Operation, signs
from seqsum.figures import plot_sums
from seqsum.objectives import Objective, RunningSum


class SumPictures(Callback):
    """Draws digits with the running sums predicted for them: of the first test sequences, and of a user's images."""

    shown = 4  # test sequences

    @staticmethod
    def fits(data: SequenceData, objective: Objective) -> bool:
        """Whether it can draw what these make."""
        return isinstance(data, DigitSums) and isinstance(objective, RunningSum)

    def __init__(self) -> None:
        self.sequences: list[tuple[Tensor, Tensor]] = []  # images (T, Y, X), sums (T,)
        self.targets: list[Tensor] = []  # true sums (T,)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.sequences, self.targets = [], []

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int, *_: Any
    ) -> None:
        if batch_idx == 0:
            batch = Batch(batch.inputs[: self.shown], batch.targets[: self.shown])
            self._keep(batch.inputs, module_of(pl_module).predict_step(batch.inputs, batch_idx))
            self.targets = list(batch.targets.cpu())

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._draw(trainer, "test_sequences.png", self.targets)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.sequences = []

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Tensor, batch: Tensor, *_: Any
    ) -> None:
        self._keep(batch, outputs)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for number, (_, sums) in enumerate(self.sequences, start=1):
            table = Table("step", "sign", "running sum", title=f"Sequence {number}", title_justify="left")
            for step, (sign, total) in enumerate(zip(signs(len(sums), self._operation(trainer)), sums, strict=True)):
                table.add_row(str(step + 1), "+" if sign > 0 else "-", str(int(total)))
            rich.get_console().print(table)
        self._draw(trainer, "predictions.png")

    def _keep(self, inputs: Tensor, sums: Tensor) -> None:
        self.sequences += zip(inputs.squeeze(2).cpu(), sums.cpu(), strict=True)

    def _operation(self, trainer: Trainer) -> Operation:
        return cast("DigitSums", data_of(trainer)).operation

    def _draw(self, trainer: Trainer, name: str, targets: list[Tensor] | None = None) -> None:
        folder = run_folder(trainer)
        if trainer.is_global_zero and folder and self.sequences:
            images, sums = zip(*self.sequences, strict=True)
            path = folder / name
            plot_sums(images, sums, self._operation(trainer), targets).savefig(path)
            print_line(f"Picture: {path}")
