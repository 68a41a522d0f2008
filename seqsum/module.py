"""The one LightningModule: any encoder, any recurrence, any objective, one shared step."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, Literal

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

import seqsum
from seqsum.data.base import Batch
from seqsum.distributed import of_all_processes
from seqsum.errors import InputError
from seqsum.graphs import CudaGraph, GraphedModule
from seqsum.networks import (
    Bias,
    ConvEncoder,
    Encoder,
    InitialState,
    SequenceNetwork,
    build_head,
    build_recurrence,
    run_in_windows,
)
from seqsum.objectives import Objective, RunningSum, WeightedMean
from seqsum.recurrent.backends import Backend
from seqsum.recurrent.cells import OutputActivation

Stage = Literal["train", "val", "test"]
SECONDS = 0.5  # between two readings of the loss on a GPU, which then has to be waited for


class SequenceModule(GraphedModule):
    """Trains a `SequenceNetwork` on an objective.

    Args:
        cell: Recurrence, written by hand: `lstm`, `gru`, `rnn` or `irnn` (ReLUs that start by keeping their
            state, Le et al., 2015); torch's own with the same start:
            `torch_lstm`, `torch_gru` or `torch_rnn`; or a cell of your own, the path of its class, such as
            `my_cells.MyCell`.
        hidden_size: Units of each recurrent layer, `H`.
        num_layers: Recurrent layers, `L`.
        backend: How the hand-written loop over time runs: `eager` (plain Python), `script`
            (TorchScript), `compile` (torch.compile), `bptt` (backward written by hand too), `native`
            (in C++), `triton` (in kernels for GPUs) or `auto`, the fastest that works.
        output_activation: What the output gate of `lstm` scales: `identity`, the memory itself, the
            default, which lets the head count beyond the sums seen in training; or `tanh` of it, as
            `torch_lstm` does.
        bias: Biases of each gate of a built-in cell: `two`, one of the input's product and one of the
            recurrent one, as in torch; `one`, as in most papers; or `none`.
        initial_state: State before the first step: `zero`, `random` (standard normal, another for each
            sequence), `learned`, or a number that fills it. A trained network can be tested with another.
        forget_bias: Start of the bias of the gate that keeps the state: of `lstm` the forget gate, 1 by default,
            of `gru` the update gate, 0 by default. The larger, the longer the memory, from the first step of
            the training on (Tallec & Ollivier, 2018). Or of several gates by name, such as
            `{reset_gate: 1, update_gate: 1}`.
        encoder: What turns one step's input into features; a `ConvEncoder` by default.
        head_sizes: Units of hidden layers between recurrence and outputs, with ReLUs around them; none for a
            head that is linear.
        objective: Loss and metrics; `RunningSum` by default.
        learning_rate: Of AdamW; the peak of the schedule.
        weight_decay: Of AdamW, on weights that are matrices; biases and normalisation are spared.
        schedule: `one_cycle` (Smith & Topin, 2018) over the whole training, or `constant`.
        truncate: Steps after which gradients through time stop, for sequences too long for the memory: see
            `run_in_windows`. By default they go back to the first step.
        cuda_graph: Whether training steps run as CUDA graphs, which keeps a GPU busy where Python would be too slow:
            `auto`, where that is possible and nothing looks on; `true`, and say why if it is not; or `false`. The
            numbers are the same.
    """

    def __init__(
        self,
        cell: str = "lstm",
        hidden_size: int = 128,
        num_layers: int = 1,
        backend: Backend = "auto",
        output_activation: OutputActivation | None = None,
        bias: Bias = "two",
        initial_state: InitialState = "zero",
        forget_bias: float | dict[str, float] | None = None,
        encoder: Encoder | None = None,
        head_sizes: Sequence[int] = (),
        objective: Objective | None = None,
        learning_rate: float = 5e-3,
        weight_decay: float = 1e-2,
        schedule: Literal["one_cycle", "constant"] = "one_cycle",
        truncate: int | None = None,
        cuda_graph: CudaGraph = "auto",
    ) -> None:
        super().__init__(cuda_graph)
        if learning_rate <= 0:
            raise ValueError(f"`learning_rate` (={learning_rate}) must be above 0")
        if weight_decay < 0:
            raise ValueError(f"`weight_decay` (={weight_decay}) must be at least 0")
        if truncate is not None and truncate < 1:
            raise ValueError(f"`truncate` (={truncate}) must be at least 1")
        self.save_hyperparameters(ignore=["encoder", "objective"])
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.truncate = truncate
        self.objective = objective or RunningSum()
        encoder = encoder or ConvEncoder()
        recurrence = build_recurrence(
            cell,
            encoder.output_size,
            hidden_size,
            num_layers,
            backend,
            output_activation,
            bias,
            learn_initial_state=initial_state == "learned",
            forget_bias=forget_bias,
        )
        head = build_head(hidden_size, head_sizes, self.objective.output_size)
        self.network = SequenceNetwork(encoder, recurrence, head, initial_state)
        metrics = self.objective.metrics()
        self.train_metrics = metrics.clone(prefix="train/")
        self.val_metrics = metrics.clone(prefix="val/")
        self.test_metrics = metrics.clone(prefix="test/")
        self._loss_read = 0.0  # when
        self.train_loss, self.val_loss, self.test_loss = WeightedMean(), WeightedMean(), WeightedMean()

    def forward(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """Inputs `(B, T, …)` -> outputs `(B, T, K)`."""
        if self.truncate is None or inputs.shape[1] <= self.truncate:
            return self.network(inputs, mask)
        return run_in_windows(self.network, inputs, mask, self.truncate)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        loss, mean_loss = self.run_training_losses(batch)
        if mean_loss.is_cpu or self._loss_is_due():
            # on the CPU, for Lightning reads what the progress bar shows after each step, and would wait for a GPU
            self.log("train/step_loss", mean_loss.float().cpu(), prog_bar=True, batch_size=len(batch.inputs))
        return {"loss": loss, "batch_loss": mean_loss}

    def training_losses(self, batch: Batch) -> tuple[Tensor, Tensor]:
        loss, _ = self._shared_step(batch, "train")
        return of_all_processes(loss, self.objective.scored(batch.targets, batch.mask).sum())

    def graph_obstacle(self) -> str | None:
        for name in ("training_step", "backward"):
            if getattr(type(self), name) is not getattr(SequenceModule, name):  # which may add to the loss
                return f"{type(self).__name__} has a `{name}` of its own"
        if self.truncate is not None:
            return f"with `--model.truncate` (={self.truncate}) the backward pass runs the network again"
        return None

    def training_metrics(self) -> Sequence[Metric]:
        return [self.train_loss, *self.train_metrics.values(copy_state=False)]

    def training_networks(self) -> Sequence[nn.Module]:
        return self.network, self.objective

    @property
    def logs_this_step(self) -> bool:
        """Whether Lightning's loggers are due after the present training step."""
        every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]  # Lightning sets it from outside
        return every > 0 and (self.trainer.global_step + 1) % every == 0

    def _loss_is_due(self) -> bool:
        """Whether somebody reads this step's loss: the loggers, or, now and then, the progress bar."""
        due = self.logs_this_step or time.monotonic() - self._loss_read > SECONDS
        if due:
            self._loss_read = time.monotonic()
        return due

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self._shared_step(batch, "val")[1]  # for callbacks, which need not run the network again

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self._shared_step(batch, "test")[1]

    def predict_step(self, inputs: Tensor, batch_idx: int) -> Tensor:
        """Inputs `(B, T, …)` -> what the objective makes of them, as a rule the answers `(B, T)`."""
        return self.objective.predict(self.network, inputs)

    def on_train_epoch_end(self) -> None:
        self._log_epoch("train")

    def on_validation_epoch_end(self) -> None:
        self._log_epoch("val")

    def on_test_epoch_end(self) -> None:
        self._log_epoch("test")

    def _shared_step(self, batch: Batch, stage: Stage) -> tuple[Tensor, Tensor]:
        outputs = self(batch.inputs, batch.mask)  # (B, T, K)
        loss = self.objective.loss(outputs, batch.targets, batch.mask)
        mean_loss: WeightedMean = getattr(self, f"{stage}_loss")
        metrics: MetricCollection = getattr(self, f"{stage}_metrics")
        mean_loss.update(loss, self.objective.scored(batch.targets, batch.mask).sum())
        metrics.update(outputs.detach(), batch.targets, batch.mask)
        return loss, outputs

    def _log_epoch(self, stage: Stage) -> None:
        """Here and not in the step: of an epoch that goes on after its last step, none is left to log it."""
        self.log(f"{stage}/loss", getattr(self, f"{stage}_loss"), prog_bar=stage == "val")
        self.log_dict(getattr(self, f"{stage}_metrics"), prog_bar=stage == "val")

    def configure_optimizers(self) -> OptimizerLRScheduler:
        matrices = [parameter for parameter in self.parameters() if parameter.dim() > 1]
        vectors = [parameter for parameter in self.parameters() if parameter.dim() <= 1]
        groups: list[dict[str, Any]] = [
            {"params": matrices, "weight_decay": self.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.learning_rate, fused=self._fused(self.device))
        if self.schedule == "constant":
            return optimizer
        steps = self.trainer.estimated_stepping_batches
        if math.isinf(steps):
            raise InputError(
                "`--model.schedule` (='one_cycle') needs to know the length of the training: "
                "give `--trainer.max_epochs` or `--trainer.max_steps`, or use 'constant'"
            )
        one_cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.learning_rate, total_steps=int(steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": one_cycle, "interval": "step"}}

    def _fused(self, device: torch.device) -> bool | None:
        """Whether AdamW runs as two launches, not dozens, which take a GPU's host longer than the step itself."""
        # of 16-bit floats, Lightning refuses to clip gradients that such an optimizer would unscale
        scaled = self._trainer is not None and self._trainer.scaler is not None
        return True if device.type == "cuda" and not scaled else None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["seqsum_version"] = seqsum.__version__

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """What belongs to the present training, and not to the one that wrote the file, stays.

        The schedule of one that goes on for more epochs, and how the optimizer runs on the device at hand.
        """
        for schedule in checkpoint.get("lr_schedulers", []):
            for planned in ("total_steps", "_schedule_phases"):
                schedule.pop(planned, None)
        going_on = self._trainer is not None and self._trainer.state.fn == "fit"
        if going_on and type(self).configure_optimizers is SequenceModule.configure_optimizers:
            for group in (group for state in checkpoint.get("optimizer_states", []) for group in state["param_groups"]):
                group["fused"] = self._fused(self.trainer.strategy.root_device)
