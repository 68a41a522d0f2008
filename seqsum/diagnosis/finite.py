"""No training goes on, and no checkpoint is written, once a loss or a weight is NaN or infinite."""

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
    """A training step whose loss was not looked at yet."""

    step: int
    epoch: int
    batch: int
    rows: Tensor | None
    loss: Tensor


class FiniteLoss(Callback):
    """Stops a training whose loss is NaN or infinite; says at which step and batch, and what there is to go back to.

    The loss is that of the batch of all processes, so they all stop, at the same step. It is looked at in every
    step on the CPU, and after every tenth on a GPU, which would have to wait to be asked; a checkpoint is written
    only if all losses so far and all weights are finite. A single process on the CPU also says which inputs, weights
    or layer are the first to be so: elsewhere the weights have changed by the time the loss is looked at.

    Lightning's `detect_anomaly` finds the operation that made a NaN and slows everything down, its
    `EarlyStopping(check_finite=True)` looks once an epoch: neither knows the batch.

    Raises:
        NotFiniteError: In the hooks of a training, as said.
    """

    batch: Batch  # the present one
    every_n_steps = 10  # on a GPU

    def __init__(self) -> None:
        self.recent: list[Step] = []
        self.step = 0
        self.source = ""  # of a NaN in the present step, as a sentence
        self.error: NotFiniteError | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.recent, self.source, self.error = [], "", None

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        self.step, self.batch = trainer.global_step, batch

    def watches_step(self) -> bool:
        """Whether the present step must run as it is written, see `seqsum.graphs`: on a GPU nothing is looked at."""
        return False

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        # not where other processes would have to run the network too, to normalise over all batches
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
            f"The loss is NaN or infinite at {where}, and the training stops.{self.source} {self._way_back(trainer)}"
        )
        if step.rows is not None:
            message += f" The batch, by positions in the training split: {self._list(trainer, step)}."
        return message

    def _list(self, trainer: Trainer, step: Step) -> str:
        """The rows of a step; of many the first, and the file that holds all of them, where there is a folder."""
        rows, folder = cast("Tensor", step.rows).tolist(), run_folder(trainer)
        if folder is None or len(rows) <= SHOWN:
            return ", ".join(map(str, rows))
        file = folder / "not_finite.json"
        if trainer.is_global_zero:
            found = {"step": step.step, "epoch": step.epoch + 1, "batch": step.batch + 1, "rows": rows}
            write_atomically(file, json.dumps(found) + "\n")
        return f"{', '.join(map(str, rows[:SHOWN]))} and {len(rows) - SHOWN} more: {file}"

    def _way_back(self, trainer: Trainer) -> str:
        """The last good checkpoint, if there is one, and what to try."""
        files = [Path(callback.dirpath or "") / "last.ckpt" for callback in trainer.checkpoint_callbacks
                 if isinstance(callback, ModelCheckpoint)]  # fmt: skip
        last = next((str(file) for file in files if file.is_file()), "none")
        return f"Last good checkpoint: {last}. Try a smaller `--model.learning_rate` or `--trainer.gradient_clip_val`."
