"""The one LightningModule: any network, any objective, any optimizer, one shared step."""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

import seqsum
from seqsum.data.base import Batch
from seqsum.distributed import of_all_processes
from seqsum.graphs import CudaGraph, GraphedModule
from seqsum.networks import SequenceNetwork, build_network
from seqsum.objectives import Objective, RunningSum, WeightedMean
from seqsum.optimization import OptimizerCallable, Schedule, adamw, make_schedule

Stage = Literal["train", "val", "test"]
SECONDS = 0.5  # between two readings of the loss on a GPU, which then has to be waited for
LEARNING_RATE, WEIGHT_DECAY = 5e-3, 1e-2


class SequenceModule(GraphedModule):
    """Trains a network on an objective.

    Args:
        network: Any module that maps a `Batch` to outputs `(B, S, K)`, such as your own; by default what
            `build_network` makes of `options`.
        objective: Loss and metrics; `RunningSum` by default.
        optimizer: A class of torch.optim, with its arguments; by default AdamW.
        learning_rate: Of AdamW; the peak of the schedule.
        weight_decay: Of AdamW, on weights that are matrices; biases and normalisation are spared.
        schedule: `one_cycle` (Smith & Topin, 2018) over the whole training, `constant`, or a class of
            torch.optim.lr_scheduler, with its arguments.
        cuda_graph: Whether training steps run as CUDA graphs, which keeps a GPU busy where Python would be too slow:
            `auto`, where that is possible and nothing looks on; `true`, and say why if it is not; or `false`. The
            numbers are the same.
        options: Of the default network: see `build_network`.

    Raises:
        TypeError: `network` is no module, or an argument is unknown.
        ValueError: A value out of its range; an option of the default network or optimizer beside another one; a
            network whose outputs are not what the objective takes.
    """

    def __init__(
        self,
        network: nn.Module | None = None,
        objective: Objective | None = None,
        optimizer: OptimizerCallable | None = None,
        learning_rate: float = LEARNING_RATE,
        weight_decay: float = WEIGHT_DECAY,
        schedule: Schedule = "one_cycle",
        cuda_graph: CudaGraph = "auto",
        **options: Any,
    ) -> None:
        super().__init__(cuda_graph)
        _check_rates(learning_rate, weight_decay, optimizer)
        self.save_hyperparameters(ignore=[*OBJECTS, *(["schedule"] if callable(schedule) else [])])
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.optimizer = optimizer
        self.schedule = schedule
        self.objective = objective or RunningSum()
        if network is None:
            self.network: nn.Module = build_network(output_size=self.objective.output_size, **options)
        else:
            _check_network(network, self.objective, options)
            self.network = network
        metrics = self.objective.metrics()
        self.train_metrics = metrics.clone(prefix="train/")
        self.val_metrics = metrics.clone(prefix="val/")
        self.test_metrics = metrics.clone(prefix="test/")
        self._loss_read = 0.0  # when
        self.train_loss, self.val_loss, self.test_loss = WeightedMean(), WeightedMean(), WeightedMean()

    def forward(self, batch: Batch) -> Tensor:
        """Inputs `(B, T, …)` -> outputs `(B, S, K)`, with `S` as a rule `T`."""
        return self.network(batch)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        loss, mean_loss = self.run_training_losses(batch)
        if mean_loss.is_cpu or self._loss_is_due():
            # on the CPU, for Lightning reads what the progress bar shows after each step, and would wait for a GPU
            self.log("train/step_loss", mean_loss.float().cpu(), prog_bar=True, batch_size=len(batch.inputs))
        return {"loss": loss, "batch_loss": mean_loss}

    def training_losses(self, batch: Batch) -> tuple[Tensor, Tensor]:
        loss, _ = self._shared_step(batch, "train")
        return of_all_processes(loss, self.objective.scored(batch).sum())

    def graph_obstacle(self) -> str | None:
        for name in ("training_step", "backward"):
            if getattr(type(self), name) is not getattr(SequenceModule, name):  # which may add to the loss
                return f"{type(self).__name__} has a `{name}` of its own"
        if truncate := getattr(self.network, "truncate", None):
            return f"with `--model.truncate` (={truncate}) the backward pass runs the network again"
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

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """What the objective makes of an unlabelled batch, as a rule the answers `(B, S)`."""
        return self.objective.predict(self.network, batch)

    def on_train_epoch_end(self) -> None:
        self._log_epoch("train")

    def on_validation_epoch_end(self) -> None:
        self._log_epoch("val")

    def on_test_epoch_end(self) -> None:
        self._log_epoch("test")

    def _shared_step(self, batch: Batch, stage: Stage) -> tuple[Tensor, Tensor]:
        outputs = self(batch)  # (B, S, K)
        loss = self.objective.loss(outputs, batch)
        mean_loss: WeightedMean = getattr(self, f"{stage}_loss")
        metrics: MetricCollection = getattr(self, f"{stage}_metrics")
        mean_loss.update(loss, self.objective.scored(batch).sum())
        metrics.update(outputs.detach(), batch.targets, batch.scored)
        return loss, outputs

    def _log_epoch(self, stage: Stage) -> None:
        """Here and not in the step: of an epoch that goes on after its last step, none is left to log it."""
        self.log(f"{stage}/loss", getattr(self, f"{stage}_loss"), prog_bar=stage == "val")
        self.log_dict(getattr(self, f"{stage}_metrics"), prog_bar=stage == "val")

    def configure_optimizers(self) -> OptimizerLRScheduler:
        if self.optimizer is None:
            optimizer = adamw(self, self.learning_rate, self.weight_decay, self._fused(self.device))
        else:
            optimizer = self.optimizer(self.parameters())
        schedule = make_schedule(self.schedule, optimizer, self)
        return {"optimizer": optimizer} | ({"lr_scheduler": schedule} if schedule else {})  # type: ignore[return-value]

    def _fused(self, device: torch.device) -> bool | None:
        """Whether AdamW runs as two launches, not dozens, which take a GPU's host longer than the step itself."""
        # of 16-bit floats, Lightning refuses to clip gradients that such an optimizer would unscale
        scaled = self._trainer is not None and self._trainer.scaler is not None
        return True if device.type == "cuda" and not scaled else None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["seqsum_version"] = seqsum.__version__
        if data := checkpoint.get("datamodule_hyper_parameters"):  # which, made in Python, don't say of what class
            kind = type(self.trainer.datamodule)  # type: ignore[attr-defined]  # set by Trainer.fit and its like
            data.setdefault("_class_path", f"{kind.__module__}.{kind.__qualname__}")

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """What belongs to the present training, and not to the one that wrote the file, stays.

        The schedule of one that goes on for more epochs, and how the optimizer runs on the device at hand.
        """
        for schedule in checkpoint.get("lr_schedulers", []):
            for planned in ("total_steps", "_schedule_phases"):
                schedule.pop(planned, None)
        going_on = self._trainer is not None and self._trainer.state.fn == "fit"
        own = self.optimizer is None and type(self).configure_optimizers is SequenceModule.configure_optimizers
        if going_on and own:
            for group in (group for state in checkpoint.get("optimizer_states", []) for group in state["param_groups"]):
                group["fused"] = self._fused(self.trainer.strategy.root_device)


def parts_of(module: SequenceModule) -> SequenceNetwork:
    """The network of a module that has the default one, whose parts can be looked at one by one."""
    return cast("SequenceNetwork", module.network)


OBJECTS = ("network", "encoder", "objective", "optimizer")  # arguments whose settings checkpoints hold, no objects


def _check_rates(learning_rate: float, weight_decay: float, optimizer: OptimizerCallable | None) -> None:
    if learning_rate <= 0:
        raise ValueError(f"`learning_rate` (={learning_rate}) must be above 0")
    if weight_decay < 0:
        raise ValueError(f"`weight_decay` (={weight_decay}) must be at least 0")
    if optimizer is not None:
        given = {"learning_rate": learning_rate, "weight_decay": weight_decay}
        _check_unused(given, {"learning_rate": LEARNING_RATE, "weight_decay": WEIGHT_DECAY}, "optimizer", "lr, say")


def _check_network(network: nn.Module, objective: Objective, options: Mapping[str, Any]) -> None:
    known = {name: parameter.default for name, parameter in inspect.signature(build_network).parameters.items()}
    if not isinstance(network, nn.Module):
        raise TypeError(f"`network` (={network!r}) must be a module; a recurrence by its name is `cell`")
    if unknown := options.keys() - known.keys():
        raise TypeError(f"SequenceModule has no argument `{sorted(unknown)[0]}`")
    _check_unused(options, known, "network", "those that its class has")
    size = getattr(network, "output_size", objective.output_size)
    if size != objective.output_size:
        raise ValueError(
            f"`network`: the `output_size` (={size}) of {type(network).__name__} must be {objective.output_size}, "
            f"which {type(objective).__name__} takes"
        )


def is_same(value: Any, default: Any) -> bool:
    """Whether a setting is the default; a list that a file gives is the same as a tuple in Python."""
    return list(value) == list(default) if isinstance(default, tuple | list) else value == default


def _check_unused(given: Mapping[str, Any], defaults: Mapping[str, Any], other: str, instead: str) -> None:
    """Refuse arguments that another one makes meaningless; their defaults can't be told from those not given."""
    for name, value in given.items():
        if not is_same(value, defaults[name]):
            raise ValueError(
                f"`{name}` (={value!r}) is of the default {other}: a `{other}` of your own has arguments "
                f"of its own, {instead}"
            )
