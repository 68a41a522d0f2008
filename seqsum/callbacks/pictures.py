"""Show the objective's figures in TensorBoard, after a test and in a prediction."""

from __future__ import annotations

from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import rich
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from matplotlib.figure import Figure
from rich.table import Table as PrintedTable
from rich.text import Text
from torch import Tensor, nn
from torch.optim import Optimizer

from seqsum.callbacks.collector import Collector
from seqsum.callbacks.histograms import add_histograms
from seqsum.callbacks.intervals import Intervals
from seqsum.console import print_line
from seqsum.data.base import Batch, SequenceData
from seqsum.figures.page import Table, draw, make_files
from seqsum.files import write_atomically
from seqsum.networks.sequence import describe_network
from seqsum.objectives import Objective, Prediction
from seqsum.optimization import steps_of_epoch
from seqsum.run import data_of, module_of, run_folder, tensorboard_writers

PAGE = "predictions.html"


class Pictures(Callback):
    """Show the network's outputs on the sequences in TensorBoard, after a test, and in a prediction.

    Before the training and after epochs, write to TensorBoard the objective's figures of the validation sequences
    (always the same ones) and histograms of weights, gradients and gates. After a test, save the figures as PNG. In a
    prediction, show all that the objective offers. All data come from the run itself, on the process that logs: no
    random number is drawn, and the training doesn't change.

    Args:
        figures_every_n_epochs: Interval of the figures; 0 for never. By default after each epoch, or less often if
            that would take more than 2.5 % of the time; always after the last whole one, if `max_epochs` or
            `max_steps` ends the training.
        histograms_every_n_epochs: Interval of the histograms, likewise.
    """

    def __init__(self, figures_every_n_epochs: int | None = None, histograms_every_n_epochs: int | None = None) -> None:
        self.intervals = Intervals({"figures": figures_every_n_epochs, "histograms": histograms_every_n_epochs})
        self.due: set[str] = set()
        self.collector = Collector()
        self.predicted: list[tuple[Batch, Tensor]] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.intervals.restart()
        self.on_train_epoch_start(trainer, pl_module)  # resuming within an epoch does not call it

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        steps = trainer.global_step + 2 * steps_of_epoch(trainer)  # if another whole epoch followed
        is_last = epoch == trainer.max_epochs or 0 <= trainer.max_steps < steps
        self._set_due(trainer, self.intervals.due_after(epoch, is_last))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            self._set_due(trainer, self.intervals.wanted())

    def _set_due(self, trainer: Trainer, due: set[str]) -> None:
        """Set what is due; nothing without TensorBoard."""
        self.due = due if tensorboard_writers(trainer) else set()

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if batch_idx == 0 and self.due:
            self.collector.start(module_of(pl_module).network, batch)

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int, *_: Any
    ) -> None:
        self.collector.stop()
        if batch_idx == 0 and "histograms" in self.due:  # here the network still contains averaged weights, if any
            with self.intervals.timed():
                add_histograms(trainer, "weights", module_of(pl_module).network.named_parameters())
                add_histograms(trainer, "activations", self.collector.recorded.items())
        if "figures" in self.due:
            self.collector.add(batch, outputs)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        module = module_of(pl_module)
        evaluation = self.collector.evaluation("val", module.network, data_of(trainer))
        if evaluation is not None:
            with self.intervals.timed():
                figures, texts = module.objective.figures(evaluation), module.objective.texts(evaluation)
                for writer in tensorboard_writers(trainer):
                    for name, figure in figures.items():
                        writer.add_figure(f"figures/{name}", figure, trainer.global_step)
                    for name, text in texts.items():
                        writer.add_text(f"texts/{name}", text, trainer.global_step)
        self.collector.clear()

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        if trainer.is_last_batch and "histograms" in self.due:
            weights = module_of(pl_module).network.named_parameters()
            with self.intervals.timed():
                gradients = ((name, weight.grad) for name, weight in weights if weight.grad is not None)
                add_histograms(trainer, "gradients", gradients)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.collector.clear()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.collector.clear()

    def on_test_batch_end(  # type: ignore[override]  # outputs are those of SequenceModule's test step
        self, trainer: Trainer, pl_module: LightningModule, outputs: Tensor, batch: Batch, *_: Any
    ) -> None:
        self.collector.add(batch, outputs)

    @torch.no_grad()
    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        module, folder = module_of(pl_module).eval(), run_folder(trainer)
        evaluation = self.collector.evaluation("test", module.network, data_of(trainer))
        if folder and evaluation is not None:
            _save(folder, module.objective.figures(evaluation))
        self.collector.clear()

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.predicted = []

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Tensor, batch: Batch, *_: Any
    ) -> None:
        self.predicted.append((batch, outputs))

    @torch.no_grad()
    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not (self.predicted and trainer.is_global_zero):
            return
        module, folder = module_of(pl_module).eval(), run_folder(trainer)
        batches, answers = zip(*self.predicted, strict=True)
        shown = module.objective.show(Prediction(module.network, data_of(trainer), batches, answers))
        for table in shown.tables:
            _print(table)
        for text in shown.texts:
            rich.get_console().print(text)
        for line in shown.lines:
            print_line(line)
        if folder is None:
            return
        for name, content_of_file in shown.files.items():
            write_atomically(folder / name, content_of_file)
            print_line(f"File: {folder / name}")
        lead = describe(module.network, module.objective, data_of(trainer))
        files = make_files("Your input", lead, shown.page, page=PAGE) if shown.page else {}
        _save(folder, shown.figures, drawn=files)
        for name, content in files.items():
            write_atomically(folder / name, content)
        if files:
            print_line(f"Page: {folder / PAGE}")


def describe(network: nn.Module, objective: Objective, data: SequenceData) -> str:
    """Describe a network and its task in one line."""
    return f"{describe_network(network)}. {objective.describe(data)}"


def _save(folder: Path, figures: Mapping[str, Figure], drawn: Container[str] = ()) -> None:
    """Save figures as PNG, except those whose files are already drawn, and name them all."""
    for name, figure in figures.items():
        if f"{name}.png" not in drawn:
            write_atomically(folder / f"{name}.png", draw(figure))
        print_line(f"Picture: {folder / name}.png")


def _print(table: Table) -> None:
    printed = PrintedTable(*table.head, title=Text(table.title), title_justify="left", caption_justify="left")
    printed.caption = table.caption or None
    for row in table.rows:
        printed.add_row(*(Text(cell, overflow="fold") for cell in row))
    rich.get_console().print(printed)
