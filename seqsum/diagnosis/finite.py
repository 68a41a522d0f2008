"""Stop a training, and write no checkpoint, once a loss or a weight is NaN or infinite."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from seqsum.data.base import Batch
from seqsum.diagnosis.observation import first_not_finite
from seqsum.errors import NotFiniteError
from seqsum.files import write_atomically
from seqsum.module import loss_of_batch
from seqsum.run import module_of, run_folder

SHOWN = 8  # rows of a batch that the message lists


class Step(NamedTuple):
    """A training step whose loss has not been checked yet."""

    step: int
    epoch: int
    batch: int
    rows: Tensor | None
    loss: Tensor


class FiniteLoss(Callback):
    """Stop a training whose loss is NaN or infinite; name the step, the batch and the last good checkpoint.

    The loss is the mean over all processes, so all stop at the same step. It is checked after every step on the CPU. On
    a GPU it is checked after every tenth, since reading it makes the CPU wait. A checkpoint is written only if all
    losses so far and all weights are finite. A single process on the CPU also names the first inputs, weights or layer
    that are not finite; elsewhere the weights have changed by the time the loss is checked.

    Lightning's `detect_anomaly` finds the operation that produced a NaN, but slows everything down. Its
    `EarlyStopping(check_finite=True)` checks once per epoch. Neither names the batch.

    Raises:
        NotFiniteError: In the training hooks, if a loss or a weight is not finite.
    """

    batch: Batch  # the current one
    every_n_steps = 10  # on a GPU

    def __init__(self) -> None:
        self.recent: list[Step] = []
        self.step = 0
        self.source = ""  # where a NaN in the current step comes from, as a sentence
        self.error: NotFiniteError | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.recent, self.source, self.error = [], "", None

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        self.step, self.batch = trainer.global_step, batch

    def watches_step(self) -> bool:
        """Whether the current step must run eagerly, see `seqsum.graphs`: no, since a GPU's layers aren't observed."""
        return False

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        # not with several processes: synchronised normalisation would need all of them to run the network
        if loss.is_cpu and trainer.world_size == 1 and not loss.isfinite():
            layer, clause = first_not_finite(module_of(pl_module).network, self.batch)
            self.source = f" First in {layer}: {clause}."

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        loss = loss_of_batch(outputs)
        self.recent.append(Step(self.step, trainer.current_epoch, batch_idx, batch.rows, loss))
        if loss.is_cpu or len(self.recent) == self.every_n_steps:
            self._check_losses(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._check_losses(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._check_losses(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if self.error:  # checkpoints are written on errors too
            raise self.error
        self._check_losses(trainer)
        weights = dict(pl_module.named_parameters())
        finite = torch.stack([weight.detach().isfinite().all() for weight in weights.values()]).tolist()
        if not all(finite):
            name = list(weights)[finite.index(False)]
            raise NotFiniteError(f"{name} is NaN or infinite after step {self.step}. {self._way_back(trainer)}")

    def _check_losses(self, trainer: Trainer) -> None:
        if not self.recent:
            return
        finite = torch.stack([step.loss for step in self.recent]).isfinite().tolist()
        recent, self.recent = self.recent, []
        if not all(finite):
            self.error = NotFiniteError(self._describe(trainer, recent[finite.index(False)]))
            raise self.error

    def _describe(self, trainer: Trainer, step: Step) -> str:
        where = f"step {step.step} (epoch {step.epoch + 1}, batch {step.batch + 1})"
        message = (
            f"The loss is NaN or infinite at {where}, and the training stops.{self.source} "
            f"{self._way_back(trainer, updated=step.step > 0)}"
        )
        if step.rows is not None:
            message += f" The batch, by positions in the training split: {self._list(trainer, step)}."
        return message

    def _list(self, trainer: Trainer, step: Step) -> str:
        """List the rows of a step; if there are many, list the first ones and write all to a file."""
        rows, folder = cast("Tensor", step.rows).tolist(), run_folder(trainer)
        if folder is None or len(rows) <= SHOWN:
            return ", ".join(map(str, rows))
        file = folder / "not_finite.json"
        found = {"step": step.step, "epoch": step.epoch + 1, "batch": step.batch + 1, "rows": rows}
        write_atomically(file, json.dumps(found) + "\n")
        return f"{', '.join(map(str, rows[:SHOWN]))} and {len(rows) - SHOWN} more: {file}"

    def _way_back(self, trainer: Trainer, updated: bool = True) -> str:
        """Name the last good checkpoint, if there is one, and what to try, if weights have been updated."""
        files = [Path(callback.dirpath or "") / "last.ckpt" for callback in trainer.checkpoint_callbacks
                 if isinstance(callback, ModelCheckpoint)]  # fmt: skip
        last = next((str(file) for file in files if file.is_file()), "none")
        rate = "`--model.learning_rate`" if module_of(trainer.lightning_module).optimizer is None else "learning rate"
        advice = f" Try a smaller {rate} or `--trainer.gradient_clip_val`." if updated else ""
        return f"Last good checkpoint: {last}.{advice}"
