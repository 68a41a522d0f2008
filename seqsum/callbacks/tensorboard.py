"""What the network learns, epoch by epoch, for TensorBoard: figures and histograms."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.optim import Optimizer

from seqsum.data import DigitRows, DigitSums, SequenceData
from seqsum.data.base import Batch
from seqsum.figures import plot_all, plot_decisions, plot_over_time, plot_settling
from seqsum.figures.together import by_layer
from seqsum.networks import SequenceNetwork
from seqsum.objectives import Classification, Objective, RunningSum
from seqsum.recurrent import Recurrent, trace
from seqsum.run import data_of, module_of, tensorboard_writers

SHARE = 0.025  # of the time that figures and histograms may take together, unless their interval is given
IMAGES = 4  # whose decisions are drawn: of more, each would be too small to see


class TensorBoard(Callback):
    """Shows in TensorBoard what the network makes of the validation sequences, the same ones each time.

    Before the training and after its epochs: figures of digits with their sums, gates and states, errors,
    misread digits and the number line, or of decisions by rows; histograms of weights, gradients and gates. All is
    taken from the validation as it runs, on the process that logs: no random number is used, nothing about the
    training changes.

    Args:
        figures_every_n_epochs: How often figures are drawn; 0 for never. By default after each epoch, or
            after fewer where that would take more than 2.5 % of the time; and after the last.
        histograms_every_n_epochs: How often histograms are made, likewise.
    """

    def __init__(self, figures_every_n_epochs: int | None = None, histograms_every_n_epochs: int | None = None) -> None:
        self.every_n_epochs = {"figures": figures_every_n_epochs, "histograms": histograms_every_n_epochs}
        for name, value in self.every_n_epochs.items():
            if value is not None and value < 0:
                raise ValueError(f"`--tensorboard.{name}_every_n_epochs` (={value}) must be at least 0")
        self.due: set[str] = set()
        # processor seconds, so that other programs don't count: at the start, and what all this took since
        self.started, self.spent = 0.0, 0.0
        self.recording = ExitStack()  # open while the first batch of a validation runs
        self.inputs = torch.empty(0)  # that batch, (B, T, C, Y, X)
        self.recorded: dict[str, Tensor] = {}  # what the recurrence did with it, (B, T, H) each
        self.sums: list[tuple[Tensor, Tensor]] = []  # outputs (B, T, K) and targets (B, T) of all batches

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started, self.spent = time.thread_time(), 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        affordable = self.spent <= SHARE * (time.thread_time() - self.started) or epoch == trainer.max_epochs
        self._decide(trainer, lambda n: affordable if n is None else n > 0 and epoch % n == 0)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            self._decide(trainer, lambda n: n != 0)

    def _decide(self, trainer: Trainer, is_time: Callable[[int | None], bool]) -> None:
        """What is due, judged by the intervals; nothing where there is no TensorBoard to write to."""
        due = {name for name, n in self.every_n_epochs.items() if is_time(n)}
        self.due = due if tensorboard_writers(trainer) else set()

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if batch_idx == 0 and self.due:
            self.inputs, self.recorded, self.sums = batch.inputs, {}, []
            network = module_of(pl_module).network
            if isinstance(network, SequenceNetwork):
                self._record(network.recurrence)

    def _record(self, recurrence: nn.Module) -> None:
        """Keep what the recurrence does, window after window where it runs in such, until `recording` is closed."""
        traced = self.recording.enter_context(trace(recurrence)) if isinstance(recurrence, Recurrent) else {}

        def keep(module: nn.Module, inputs: Any, outputs: Any) -> None:
            for name, part in {"outputs": outputs[0], **traced}.items():
                before = self.recorded.get(name)
                self.recorded[name] = part if before is None else torch.cat([before, part], dim=1)

        self.recording.callback(recurrence.register_forward_hook(keep).remove)

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int, *_: Any
    ) -> None:
        self.recording.close()
        if batch_idx == 0 and "histograms" in self.due:  # here an average of the weights is still in place
            with self._timed():
                add_histograms(trainer, "weights", module_of(pl_module).network.named_parameters())
                add_histograms(trainer, "activations", self.recorded.items())
        if "figures" in self.due:
            self.sums.append((outputs, batch.targets))

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.sums:
            outputs, targets = (torch.cat(tensors) for tensors in zip(*self.sums, strict=True))
            with self._timed():
                objective = module_of(pl_module).objective
                figures = draw(data_of(trainer), objective, self.inputs, self.recorded, outputs, targets)
                for name, figure in figures.items():
                    for writer in tensorboard_writers(trainer):
                        writer.add_figure(f"figures/{name}", figure, trainer.global_step)
        self.inputs, self.recorded, self.sums = torch.empty(0), {}, []

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        if trainer.is_last_batch and "histograms" in self.due:
            weights = module_of(pl_module).network.named_parameters()
            with self._timed():
                gradients = ((name, weight.grad) for name, weight in weights if weight.grad is not None)
                add_histograms(trainer, "gradients", gradients)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.recording.close()

    @contextmanager
    def _timed(self) -> Iterator[None]:
        start = time.thread_time()
        yield
        self.spent += time.thread_time() - start


def draw(
    data: SequenceData,
    objective: Objective,
    inputs: Tensor,
    recorded: dict[str, Tensor],
    outputs: Tensor,
    targets: Tensor,
) -> dict[str, Figure]:
    """The figures of a validation, by name, of the experiments that have some.

    Args:
        data, objective: Of the run.
        inputs: Of the first batch, `(B, T, …)`.
        recorded: What the recurrence did with these, see `plot_all`.
        outputs, targets: Of all sequences, `(N, T, K)` and `(N, T)`.
    """
    if isinstance(data, DigitSums) and isinstance(objective, RunningSum):
        return plot_all(inputs.squeeze(2), recorded, outputs.squeeze(-1), targets, data.operation)
    if isinstance(data, DigitRows) and isinstance(objective, Classification):
        images, probabilities = data.as_images(inputs[:IMAGES]), objective.probabilities(outputs[:IMAGES])
        layers = {layer: {name: part[0] for name, part in parts.items()} for layer, parts in by_layer(recorded).items()}
        return {
            "decisions": plot_decisions(images, probabilities, data.steps, targets[:IMAGES, -1]),
            "settling": plot_settling(outputs.argmax(-1), targets),
            **{f"states_{layer}": plot_over_time(images[0], parts, data.steps) for layer, parts in layers.items()},
        }
    return {}


def add_histograms(trainer: Trainer, group: str, tensors: Iterable[tuple[str, Tensor]]) -> None:
    """A histogram of each tensor's values, but for NaN and what lies beyond TensorBoard's last bin."""
    for name, tensor in tensors:
        values = tensor.detach().float()
        values = values[values.abs() < 1e20]
        if len(values) > 0:
            for writer in tensorboard_writers(trainer):
                writer.add_histogram(f"{group}/{name}", values, trainer.global_step)
