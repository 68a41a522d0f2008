"""The LightningModule of all experiments: trains any network on any objective with any optimizer."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypedDict, cast

import torch
from lightning.pytorch import Callback
from lightning.pytorch.utilities.types import LRSchedulerTypeUnion, OptimizerLRScheduler
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

import seqsum
from seqsum.data.base import Batch, ScoredSteps, SequenceData, check_batch, refuse_tensor
from seqsum.errors import InputError, check_choice
from seqsum.graphs import CudaGraph, GraphedModule
from seqsum.module_arguments import (
    LEARNING_RATE,
    WEIGHT_DECAY,
    check_encoder,
    check_kinds,
    check_network,
    check_rates,
    check_update,
)
from seqsum.networks import Encoder, SequenceNetwork, build_network
from seqsum.networks.starts import STARTS
from seqsum.objectives import Objective, RunningSum, WeightedMean
from seqsum.objectives.base import check_loss, separate, update_metrics
from seqsum.optimization import (
    NamedSchedule,
    OptimizerCallable,
    Schedule,
    adamw,
    check_length,
    make_optimizer,
    make_schedule,
    step_plateau_schedules,
)
from seqsum.recurrent.alike import real_weight
from seqsum.resumed import (
    Begun,
    begun_of,
    check_averages,
    check_groups,
    check_kept,
    follow_patience,
    follow_rates,
)

Stage = Literal["train", "val", "test"]
SECONDS = 0.5  # between two readings of the loss on a GPU, since each waits for the GPU


class TrainingOutput(TypedDict):
    """What a training step gives to Lightning and its callbacks.

    Attributes:
        loss: What is differentiated: of several processes, this one's part.
        batch_loss: Mean over the batch of all processes, detached.
    """

    loss: Tensor
    batch_loss: Tensor


def loss_of_batch(outputs: Mapping[str, Tensor]) -> Tensor:
    """Return the detached loss of a batch from a training step's outputs; a step of your own may give `loss` alone."""
    return outputs["batch_loss" if "batch_loss" in outputs else "loss"].detach()


class SequenceModule(GraphedModule):
    """Trains a network on an objective.

    Args:
        network: Any module that maps a `Batch` to outputs `(B, S, K)`; by default `build_network(**options)`.
        objective: Loss and metrics; `RunningSum` by default.
        optimizer: A class of torch.optim, with its arguments; AdamW by default.
        learning_rate: Learning rate of AdamW; the peak of `one_cycle`.
        encoder_learning_rate: Learning rate of AdamW for the network's encoder, whose schedule has the same shape; by
            default that of all others.
        weight_decay: Weight decay of AdamW; applied to matrices, such as weights and learned initial states, but not to
            biases and normalisation.
        schedule: `one_cycle` (Smith & Topin, 2018) over the whole training, `constant`, or a class of
            torch.optim.lr_scheduler, with its arguments, which changes once per epoch, or at every step if it is
            OneCycleLR, CyclicLR or has `interval = "step"`.
        cuda_graph: Whether to run training steps as CUDA graphs, which are faster where Python can't keep the GPU
            busy: `auto` if possible, `true` to also be warned if not, or `false`. Steps that hooks or callbacks watch
            run without. Results are the same.
        options: Options of the default network, see `build_network`.

    Raises:
        TypeError: `network` is not a module, another part is of the wrong kind, or an argument is unknown.
        ValueError: A value is out of its range; an option of the default network or optimizer is given together with
            your own; the network's `output_size` is not the objective's; or the objective's `monitor` is a metric
            without `val/`.
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
        encoder_learning_rate: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(cuda_graph)
        check_kinds(objective, optimizer, schedule)
        check_rates(learning_rate, weight_decay, encoder_learning_rate, optimizer)
        if not callable(schedule):
            check_choice("schedule", schedule, NamedSchedule)
        self.save_hyperparameters(ignore=[*OBJECTS, *(["schedule"] if callable(schedule) else [])])
        self.learning_rate = learning_rate
        self.encoder_learning_rate = encoder_learning_rate
        self.weight_decay = weight_decay
        self.optimizer = optimizer
        self.schedule = schedule
        self.objective = objective or RunningSum()
        self.chosen = objective is not None  # the objective, and not the default
        if network is None:
            self.network: nn.Module = build_network(output_size=self.objective.output_size, **options)
        else:
            check_network(network, self.objective, options)
            self.network = network
        if encoder_learning_rate is not None:
            check_encoder(self.network, encoder_learning_rate)
        metrics = self.objective.metrics()
        if not isinstance(metrics, MetricCollection):
            name, kind = type(self.objective).__name__, type(metrics).__name__
            raise InputError(f"`metrics` of {name} must return a torchmetrics.MetricCollection, not {kind}")
        if (monitor := getattr(self.objective, "monitor", None)) in {"loss", *metrics.keys(keep_base=True)}:
            raise ValueError(
                f"`monitor` (={monitor!r}) of {type(self.objective).__name__} must say in what: 'val/{monitor}'"
            )
        if type(self)._shared_step is SequenceModule._shared_step:
            for name, metric in metrics.items(keep_base=True, copy_state=False):
                check_update(self.objective, name, metric)
        self.train_metrics = separate(metrics.clone(), "train/")
        self.val_metrics = separate(metrics.clone(), "val/")
        self.test_metrics = separate(metrics.clone(), "test/")
        self.answer_metrics = MetricCollection({})  # of a test, see `setup`
        self.loss_read = 0.0  # time of the last reading, see SECONDS
        self.begun: Begun | None = None  # with a training that goes on
        self.train_loss, self.val_loss, self.test_loss = WeightedMean(), WeightedMean(), WeightedMean()

    def setup(self, stage: str) -> None:
        data: SequenceData | None = self.trainer.datamodule  # type: ignore[attr-defined]  # set by Trainer.fit and others
        if stage == "fit":
            for part in self._encoders():
                part.begin(data)
        if stage == "test":  # only then the data know what answers are compared with
            self.answer_metrics = separate(self.objective.answer_metrics(data), "test/")

    def on_train_start(self) -> None:
        self.check_starts()  # not before: only now the weights of a checkpoint, where a training goes on, are loaded
        for planned in self.trainer.lr_scheduler_configs:
            check_length(planned.scheduler)

    def check_starts(self) -> None:
        """Check that a training may begin with the encoders as they are.

        Raises:
            InputError: One would keep layers that were never trained.
        """
        for part in self._encoders():
            part.check_start()

    def _encoders(self) -> Iterator[Encoder]:
        return (part for part in self.network.modules() if isinstance(part, Encoder))

    def forward(self, batch: Batch) -> Tensor | ScoredSteps:
        """Map inputs `(B, T, …)` to outputs `(B, S, K)`, usually `S = T`; in training perhaps to `ScoredSteps`.

        Raises:
            InputError: The inputs are of float64, as NumPy makes them, and the weights are not; or it is no batch.
        """
        refuse_tensor(batch)
        weight = real_weight(self.network, batch.inputs)
        if batch.inputs.dtype == torch.float64 and weight.dtype != torch.float64:
            raise InputError(
                f"the data have inputs of torch.float64, and the network has weights of {weight.dtype}: "
                "the data must convert them, by `inputs.float()`"
            )
        return self.network(batch)

    def training_step(self, batch: Batch, batch_idx: int) -> TrainingOutput:
        loss, mean_loss = self.run_training_loss(batch)
        if mean_loss.is_cpu or self._loss_is_due():
            # on the CPU, because Lightning reads progress-bar values after each step and would wait for the GPU
            self.log("train/step_loss", mean_loss.float().cpu(), prog_bar=True, batch_size=len(batch.inputs))
        return {"loss": loss, "batch_loss": mean_loss}

    def training_loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        loss, _ = self._shared_step(batch, "train")
        return loss, self.objective.scored(batch).sum()

    def graph_obstacle(self) -> str | None:
        for name in ("training_step", "backward", "training_loss", "_shared_step", "forward"):
            if getattr(type(self), name) is not getattr(SequenceModule, name):  # it may read what changes
                return f"{type(self).__name__} has a `{name}` of its own"
        if truncate := getattr(self.network, "truncate", None):
            return f"with `--model.truncate` (={truncate}) the backward pass runs the network again"
        if carry := getattr(self.network, "carry", 0):
            return f"with `--model.carry` (={carry}) steps read different numbers of sequences"
        return None

    def training_metrics(self) -> Sequence[Metric]:
        return [self.train_loss, *self.train_metrics.values(copy_state=False)]

    def training_networks(self) -> Sequence[nn.Module]:
        return self.network, self.objective

    @property
    def logs_this_step(self) -> bool:
        """Whether Lightning's loggers are due after this training step."""
        every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]  # Lightning sets it from outside
        return every > 0 and (self.trainer.global_step + 1) % every == 0

    def _loss_is_due(self) -> bool:
        """Whether to read this step's loss: if the loggers are due, or after `SECONDS` for the progress bar."""
        due = self.logs_this_step or time.monotonic() - self.loss_read > SECONDS
        if due:
            self.loss_read = time.monotonic()
        return due

    def on_validation_start(self) -> None:
        _require_one(self.trainer.val_dataloaders, "val_dataloader")

    def on_test_start(self) -> None:
        _require_one(self.trainer.test_dataloaders, "test_dataloader")

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        return self._shared_step(batch, "val")[1]  # so that callbacks need not run the network again

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        outputs = self._shared_step(batch, "test")[1]
        if len(self.answer_metrics):
            self.answer_metrics.update(self.objective.predict(self.network, batch), batch)
        return outputs

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Call the objective's `predict` on an unlabelled batch; it usually returns answers `(B, S)`."""
        return self.objective.predict(self.network, batch)

    def on_train_epoch_end(self) -> None:
        self._log_epoch("train")
        step_plateau_schedules(self.trainer)

    def on_validation_epoch_end(self) -> None:
        self._log_epoch("val")

    def on_test_epoch_end(self) -> None:
        self._log_epoch("test")
        if len(self.answer_metrics):
            self.log_dict(self.answer_metrics)

    def _shared_step(self, batch: Batch, stage: Stage) -> tuple[Tensor, Tensor]:
        check_batch(batch)
        outputs = self(batch)
        if stage != "train" and isinstance(outputs, ScoredSteps):
            raise InputError("the network may return `ScoredSteps` in training alone, not in validation or a test")
        outputs, batch = batch.pair(outputs, self.objective.by_step)  # (B, S, K)
        loss = self.objective.loss(outputs, batch)
        check_loss(self.objective, loss, learns=stage == "train" and torch.is_grad_enabled())
        mean_loss: WeightedMean = getattr(self, f"{stage}_loss")
        metrics: MetricCollection = getattr(self, f"{stage}_metrics")
        mean_loss.update(loss, self.objective.scored(batch).sum())
        update_metrics(metrics, outputs, batch)
        return loss, outputs

    def _log_epoch(self, stage: Stage) -> None:
        """Log at the end of the epoch, not in a step: an epoch resumed after its last step has no step left to log."""
        step = {"train": "training_step", "val": "validation_step", "test": "test_step"}[stage]
        is_own = getattr(type(self), step) is not getattr(SequenceModule, step)  # and may update other metrics, or none
        mean_loss: WeightedMean = getattr(self, f"{stage}_loss")
        metrics: MetricCollection = getattr(self, f"{stage}_metrics")
        if not is_own or mean_loss.update_called:
            self.log(f"{stage}/loss", mean_loss, prog_bar=stage == "val")
        if not is_own or any(metric.update_called for metric in metrics.values(copy_state=False)):
            self.log_dict(metrics, prog_bar=stage == "val")

    def configure_optimizers(self) -> OptimizerLRScheduler:
        if self.optimizer is None:
            encoder = getattr(self.network, "encoder", None)
            rates = self.learning_rate, self.weight_decay
            optimizer = adamw(self, *rates, self._fused(self.device), encoder, self.encoder_learning_rate)
        else:
            optimizer = make_optimizer(self.optimizer, self.parameters())
        if not self._scales_gradients() and getattr(optimizer, "_step_supports_amp_scaling", False):
            # no gradient is scaled, but with bf16-mixed Lightning won't clip those that the optimizer might unscale
            optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]  # only fused ones have it
        schedule = make_schedule(self.schedule, optimizer, self)
        return {"optimizer": optimizer} | ({"lr_scheduler": schedule} if schedule else {})  # type: ignore[return-value]

    def lr_scheduler_step(self, scheduler: LRSchedulerTypeUnion, metric: Any | None) -> None:
        try:
            super().lr_scheduler_step(scheduler, metric)
        except (ArithmeticError, ValueError) as error:  # a division by an argument; a step beyond the schedule's end
            raise InputError(f"`--model.schedule` can't go on: {type(error).__name__}: {error}") from error

    def _fused(self, device: torch.device) -> bool | None:
        """Whether to fuse AdamW: two launches instead of dozens, which take the host longer than the whole step."""
        # a fused optimizer unscales gradients itself, and then Lightning refuses to clip them
        return True if device.type == "cuda" and not self._scales_gradients() else None

    def _scales_gradients(self) -> bool:
        """Whether the loss is scaled so that gradients in float16 don't vanish, and they are scaled back."""
        return self._trainer is not None and self._trainer.scaler is not None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["seqsum_version"] = seqsum.__version__
        checkpoint["objective_class"] = _name_of(self.objective)
        checkpoint["hyper_parameters"] = _without_starts(checkpoint.get("hyper_parameters", {}))
        data = checkpoint.get("datamodule_hyper_parameters", {})
        datamodule = getattr(self._trainer, "datamodule", None)
        if datamodule is not None and "_class_path" not in data:  # made in Python: of what class, and what that takes
            taken = _arguments_of(type(datamodule))
            if data or not taken:  # otherwise it keeps none of its arguments
                of_class = {"_class_path": _name_of(datamodule), "_arguments": taken}
                checkpoint["datamodule_hyper_parameters"] = data | of_class

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check the data, and keep settings of the current training that the checkpoint would overwrite.

        They are the length of the schedule, since a resumed training may have more epochs, and whether AdamW is
        fused, which depends on the device.

        Raises:
            InputError: The data have another argument that the weights depend on, see `SequenceData.trained_with`.
        """
        data = None if self._trainer is None else getattr(self._trainer, "datamodule", None)
        if isinstance(data, SequenceData):
            data.check_trained_with(checkpoint.get("datamodule_hyper_parameters", {}))
        trained_for = checkpoint.get("objective_class", _name_of(self.objective))
        if not self.chosen and trained_for != _name_of(self.objective):
            raise ValueError(f"`objective` must be given: the checkpoint's network was trained for {trained_for}")
        for schedule in checkpoint.get("lr_schedulers", []):
            for planned in ("total_steps", "_schedule_phases"):
                schedule.pop(planned, None)
        if self._trainer is not None and self._trainer.precision == "64-true":
            self.double()  # Lightning would, but after it has loaded the weights
        if self._trainer is not None and self._trainer.state.fn == "fit":
            self._go_on(checkpoint)

    def _go_on(self, checkpoint: dict[str, Any]) -> None:
        """Check and adapt a checkpoint from which a training goes on."""
        begun: Mapping[str, Any] = checkpoint.get("hyper_parameters", {})
        callbacks: list[Callback] = self.trainer.callbacks  # type: ignore[attr-defined]  # Lightning sets it from outside
        self.begun = begun_of(checkpoint)
        check_averages(checkpoint, callbacks)
        follow_patience(checkpoint, callbacks)
        for name in ("optimizer", "schedule"):
            check_kept(name, begun, self.hparams)
        if self.optimizer is None and type(self).configure_optimizers is SequenceModule.configure_optimizers:
            groups = [group for state in checkpoint.get("optimizer_states", []) for group in state["param_groups"]]
            check_groups(len(groups), self.encoder_learning_rate)
            follow_rates(groups, begun, vars(self))
            for group in groups:
                group["fused"] = self._fused(self.trainer.strategy.root_device)


def _require_one(loaders: Any, name: str) -> None:
    """Refuse several loaders: metrics are of one split, which Lightning would mix."""
    if isinstance(loaders, list | tuple | dict) and len(loaders) > 1:
        raise InputError(
            f"`{name}` of the data gives {len(loaders)} loaders, and only one is evaluated: let an argument of the "
            "data choose, and run `test --ckpt_path=best` with each of its values"
        )


def _arguments_of(kind: type) -> list[str] | None:
    """Names of what a constructor takes; None if it takes any."""
    parameters = inspect.signature(kind).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    return None if takes_any else list(parameters)


def _name_of(thing: object) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def parts_of(module: SequenceModule) -> SequenceNetwork:
    """Cast a module's network to `SequenceNetwork`, for modules with the default network."""
    return cast("SequenceNetwork", module.network)


OBJECTS = ("network", "encoder", "objective", "optimizer")  # arguments whose settings, not objects, go into checkpoints


def _without_starts(settings: Any) -> Any:
    """Copy a checkpoint's settings without the files that encoders started from: it has the encoders' weights."""
    if not isinstance(settings, Mapping):
        return settings
    return {name: None if name in STARTS else _without_starts(inner) for name, inner in settings.items()}
