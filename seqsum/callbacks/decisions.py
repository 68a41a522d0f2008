"""Images with the class that is decided on after every step, and what the layers do meanwhile."""

from __future__ import annotations

from itertools import chain
from typing import cast

import rich
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from matplotlib.figure import Figure
from rich.table import Table
from rich.text import Text
from torch import Tensor

from seqsum.console import print_line
from seqsum.data import DigitRows, SequenceData
from seqsum.data.base import Batch, unlabelled
from seqsum.figures import plot_decisions, plot_over_time, plot_settling, settled_at
from seqsum.inspect.reading import trace_layers
from seqsum.module import parts_of
from seqsum.objectives import Classification, Objective
from seqsum.run import data_of, module_of, run_folder


class DecisionPictures(Callback):
    """Draws when and how decisions are made: of the test images, and of a user's own.

    After a test `decisions.png`, the first images with the probabilities after every step; `settling.png`, how
    many decisions are right and settled after each; `states_l0.png` and so on, gates and states beside the first
    image. After a prediction the first and the last of these, for each image.
    """

    shown = 8  # test images

    def __init__(self) -> None:
        self.answers: list[Tensor] = []  # of all test images, (B, T) each
        self.targets: list[Tensor] = []  # likewise
        self.inputs: list[Tensor] = []  # steps of the images that are drawn, (N, T, F) each

    @staticmethod
    def fits(data: SequenceData, objective: Objective) -> bool:
        """Whether it can draw what these make."""
        return isinstance(data, DigitRows) and isinstance(objective, Classification)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.answers, self.targets, self.inputs = [], [], []

    def on_test_batch_end(  # type: ignore[override]  # outputs are those of SequenceModule's test step
        self, trainer: Trainer, pl_module: LightningModule, outputs: Tensor, batch: Batch, batch_idx: int, *_: int
    ) -> None:
        self.answers.append(module_of(pl_module).objective.answers(outputs, batch).cpu())
        self.targets.append(batch.targets.cpu())
        if batch_idx == 0:
            self.inputs = [batch.inputs[: self.shown]]

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if sum(map(len, self.inputs)) > 0:
            answers, targets = torch.cat(self.answers), torch.cat(self.targets)
            self._save(trainer, {"settling": plot_settling(answers, targets)})
            self._draw(trainer, pl_module, targets[: self.shown, -1])

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.inputs = []

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Tensor, batch: Batch, *_: int
    ) -> None:
        self.inputs.append(batch.inputs)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        names = list(chain.from_iterable(cast("DigitRows", data_of(trainer)).own.names()))
        for name, probabilities in zip(names, self._probabilities(pl_module), strict=False):  # all, unless limited
            rich.get_console().print(_table(name, probabilities))
        self._draw(trainer, pl_module, names=names)

    @torch.no_grad()
    def _probabilities(self, pl_module: LightningModule) -> Tensor:
        module = module_of(pl_module)
        objective = cast("Classification", module.objective)
        return objective.probabilities(module.eval()(unlabelled(torch.cat(self.inputs)))).cpu()

    @torch.no_grad()
    def _draw(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        targets: Tensor | None = None,
        names: list[str] | None = None,
    ) -> None:
        """Decisions on all images kept, and what each layer does with the first of a test, or each to be predicted."""
        data, network = cast("DigitRows", data_of(trainer)), parts_of(module_of(pl_module))
        inputs, probabilities = torch.cat(self.inputs), self._probabilities(pl_module)
        images = data.as_images(inputs)
        self._save(trainer, {"decisions": plot_decisions(images, probabilities, data.steps, targets, names)})
        layers = trace_layers(network, network.encoder(inputs))
        for row in range(len(inputs) if targets is None else 1):
            number = f"_{row + 1}" if targets is None and len(inputs) > 1 else ""
            for layer, parts in layers.items():
                shown = {"class probabilities": probabilities[row]} | {
                    name: values[row] for name, values in parts.items()
                }
                self._save(trainer, {f"states{number}_{layer}": plot_over_time(images[row], shown, data.steps)})

    def _save(self, trainer: Trainer, figures: dict[str, Figure]) -> None:
        folder = run_folder(trainer)
        if trainer.is_global_zero and folder:
            for name, figure in figures.items():
                figure.savefig(folder / f"{name}.png", dpi=120)
                print_line(f"Picture: {folder / name}.png")


def _table(name: str, probabilities: Tensor) -> Table:
    """The decision on an image after each step, from probabilities `(T, K)`, and where it settles."""
    settled, last = int(settled_at(probabilities.argmax(-1))), probabilities[-1]
    title = Text(f"{name}: {int(last.argmax())}, probability {last.max():.3f}")
    table = Table("step", "decision", "probability", title=title, title_justify="left")
    for step, of_step in enumerate(probabilities, start=1):
        note = "  settled" if step == settled else ""
        table.add_row(str(step), str(int(of_step.argmax())), f"{of_step.max():.3f}{note}")
    return table
