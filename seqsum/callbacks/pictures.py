"""Digits with the running sums predicted for them, as an image file."""

from __future__ import annotations

from typing import Any, cast

import rich
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.table import Table
from rich.text import Text
from torch import Tensor

from seqsum.console import print_line
from seqsum.data import DigitSums, SequenceData
from seqsum.data.base import Batch
from seqsum.data.sums import read_digits, signs
from seqsum.figures import plot_sums
from seqsum.figures.style import digit
from seqsum.objectives import Objective, RunningSum
from seqsum.run import data_of, module_of, run_folder


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
            batch = batch.map(lambda tensor: tensor[: self.shown])
            self._keep(batch.inputs, module_of(pl_module).predict_step(batch, batch_idx))
            self.targets = list(batch.targets.cpu())

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._draw(trainer, "test_sequences.png", self.targets)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.sequences = []

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Tensor, batch: Batch, *_: Any
    ) -> None:
        self._keep(batch.inputs, outputs)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data = cast("DigitSums", data_of(trainer))
        names = data.own.names()
        for number, (_, sums) in enumerate(self.sequences):  # of which a Trainer's flag may have left out the last
            rich.get_console().print(_table(f"Sequence {number + 1}", names[number], sums, data))
        self._draw(trainer, "predictions.png", names=names)

    def _keep(self, inputs: Tensor, sums: Tensor) -> None:
        self.sequences += zip(inputs.squeeze(2).cpu(), sums.cpu(), strict=True)

    def _draw(
        self,
        trainer: Trainer,
        name: str,
        targets: list[Tensor] | None = None,
        names: list[list[str]] | None = None,
    ) -> None:
        folder = run_folder(trainer)
        if trainer.is_global_zero and folder and self.sequences:
            images, sums = zip(*self.sequences, strict=True)
            path = folder / name
            plot_sums(images, sums, cast("DigitSums", data_of(trainer)).operation, targets, names).savefig(path)
            print_line(f"Picture: {path}")


def _table(title: str, names: list[str], sums: Tensor, data: DigitSums) -> Table:
    """What was read at each step, of which file, and what it adds up to."""
    table = Table(
        "step", "sign", "digit", "running sum", "file", title=title, title_justify="left", caption_justify="left"
    )
    if skipped := len(data.own.skipped):
        table.caption = f"{skipped} skipped, see below: the sums go on without {'it' if skipped == 1 else 'them'}"
    read = read_digits(sums, data.operation).tolist()
    for step, (sign, name) in enumerate(zip(signs(len(sums), data.operation), names, strict=True)):
        row = str(step + 1), "+" if sign > 0 else "-", digit(read[step]), str(int(sums[step]))
        table.add_row(*row, Text(name, overflow="fold"))
    return table
