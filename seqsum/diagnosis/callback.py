"""Watch a training for common faults of recurrent networks, and report them in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torch.optim import Optimizer

from seqsum.console import print_line
from seqsum.data.base import Batch
from seqsum.diagnosis import findings
from seqsum.diagnosis.findings import Finding
from seqsum.diagnosis.observation import (
    Located,
    Onlooker,
    copy_weights,
    look_at_update,
    look_over_time,
    sized_matrices,
)
from seqsum.networks import SequenceNetwork
from seqsum.objectives import Objective
from seqsum.run import module_of

MUCH_LONGER = 1.5  # times as many steps, from which on losses can't be compared


class Said(NamedTuple):
    """A reported finding."""

    name: str
    layer: str
    step: int
    words: str


class Diagnosis(Callback):
    """Report each fault once for each layer, with the step; `findings.py` lists the faults.

    The callback observes the training step through hooks, then runs the recurrence, not the encoder, once more for its
    gates and its gradients over time. It changes no weight and draws no random number, so the training stays the same
    bit for bit. Gates are available for hand-written cells, not for torch's. `FiniteLoss` handles a loss that is NaN or
    infinite.

    Args:
        every_n_steps: Interval in steps; 0 for never. Within the first interval, where most goes wrong, it also looks
            at steps 1, 2, 4, 8, ….

    Attributes:
        said: Findings reported so far.

    Raises:
        ValueError: `every_n_steps` is negative.
    """

    batch: Batch  # the current one
    settled = 200  # steps after which predictions vary between sequences in any healthy training

    def __init__(self, every_n_steps: int = 100) -> None:
        if every_n_steps < 0:
            raise ValueError(f"`--diagnosis.every_n_steps` (={every_n_steps}) must be at least 0")
        self.every_n_steps = every_n_steps
        self.said: list[Said] = []
        self.looked = -1  # step of the last look
        self.first_loss, self.first_length = 0.0, 0  # of a batch of so many steps
        self.onlooker = Onlooker()
        self.before: dict[str, Tensor] = {}  # weights by name, before the optimizer step
        self.sized: list[str] = []  # names of the weights whose relative change is measured

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.said, self.looked, self.before = [], -1, {}
        self.first_loss, self.first_length = 0.0, 0
        self.sized = sized_matrices(module_of(pl_module).network)
        self.onlooker.stop()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        if self.every_n_steps == 0:
            return
        self.batch = batch
        step, often = trainer.global_step, self.every_n_steps
        due = step % often == 0 or (step < often and step.bit_count() == 1)  # 0, 1, 2, 4, 8, …, then every n-th
        if due and step != self.looked and not self._is_hopeless():
            self.looked = step
            module = module_of(pl_module)
            self.onlooker.start(module.network, module.objective.by_step)

    def watches_step(self) -> bool:
        """Whether the current step must run eagerly, see `seqsum.graphs`."""
        return self.onlooker.looking

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        if self.onlooker.looking:
            self.onlooker.stop()
            if loss.isfinite():
                for layer, finding in self._look(trainer, pl_module):
                    self._say(trainer, layer, finding, trainer.global_step)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        if trainer.global_step == self.looked and not self._is_hopeless():
            self.before = copy_weights(module_of(pl_module).network, self.sized)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if self.before:
            for layer, finding in look_at_update(module_of(pl_module).network, self.before):
                self._say(trainer, layer, finding, self.looked)
            self.before = {}

    def _is_hopeless(self) -> bool:
        """Whether further findings would only be consequences of one already reported."""
        return any(said.name in findings.CAUSES for said in self.said)

    def _look(self, trainer: Trainer, pl_module: LightningModule) -> Iterator[Located]:
        """Yield all findings; if the inputs or the loss have one, only that, since the rest would follow from it."""
        inputs = self.batch.inputs if self.batch.mask is None else self.batch.inputs[self.batch.mask]
        if found := findings.unscaled_inputs(inputs):
            yield "inputs", found
            return
        module, features = module_of(pl_module), self.onlooker.features
        if found := self._look_at_answers(module.objective, trainer.global_step):
            yield "loss", found
            return
        yield from self.onlooker.found
        if features is not None:
            mask = None if self.batch.mask is None else self.batch.mask[:, : features.shape[1]]
            yield from look_over_time(cast("SequenceNetwork", module.network), features, mask)

    def _look_at_answers(self, objective: Objective, step: int) -> Finding | None:
        """Check the loss and the answers."""
        outputs, batch = self.onlooker.outputs, self.onlooker.batch
        loss, length = objective.loss(outputs, batch).item(), outputs.shape[1]
        if length >= MUCH_LONGER * self.first_length:  # longer sequences may have larger sums
            self.first_loss, self.first_length = loss, length
        found = findings.low_loss(loss, objective.lowest_loss)
        if found is None:
            found = findings.diverged_loss(loss, self.first_loss)
        answers = objective.answers(outputs, batch)
        # not for classes: predicting one class for everything can be a normal early stage
        if found is None and step >= self.settled and answers.is_floating_point():
            scored = objective.scored(batch)
            found = findings.flat_predictions(answers[scored], batch.targets[scored])
        return found

    def _say(self, trainer: Trainer, layer: str, finding: Finding, step: int) -> None:
        if any((said.name, said.layer) == (finding.name, layer) for said in self.said):
            return
        self.said.append(Said(finding.name, layer, step, finding.words))
        if not trainer.is_global_zero:
            return
        sentence = f"Diagnosis: {finding.name} ({layer}, step {step}): {finding.words}"
        print_line(sentence)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_text("diagnosis", sentence, step)
