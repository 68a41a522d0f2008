"""Reasons why the steps of a training can't be CUDA graphs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.plugins.precision import DoublePrecision, HalfPrecision, MixedPrecision, Precision
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from lightning.pytorch.utilities.model_helpers import is_overridden
from lightning.pytorch.utilities.rank_zero import rank_prefixed_message, rank_zero_only
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from seqsum.objectives.metrics import Sums
from seqsum.recurrent import Recurrent

PRECISIONS = (Precision, MixedPrecision, HalfPrecision, DoublePrecision)


def explain(obstacle: str, loud: bool) -> None:
    """Tell the user why there are no graphs; as a warning if `loud`, else as an info message."""
    (rank_zero_warn if loud else rank_zero_info)(f"Training steps run without CUDA graphs, since {obstacle}.")


def explain_failure(what: str, error: Exception) -> None:
    """Warn in this process, of whatever rank, of a failed capture: earlier steps and other processes have graphs."""
    reason = (str(error) or type(error).__name__).splitlines()[0]
    message = f"{what} without CUDA graphs, since one can't be captured ({reason})."
    rank = getattr(rank_zero_only, "rank", 0)
    warnings.warn(rank_prefixed_message(message, rank) if rank else message, stacklevel=2)


def obstacles(trainer: Trainer, module: LightningModule, metrics: Sequence[Any]) -> Iterator[str]:
    """Yield all reasons against graphs, as clauses.

    Args:
        trainer, module: Trainer and module of the training.
        metrics: Metrics that its steps update.
    """
    strategy = type(trainer.strategy)
    if strategy not in (SingleDeviceStrategy, DDPStrategy):
        yield f"the strategy is {strategy.__name__}, neither a single device nor DDP"
    if isinstance(trainer.strategy.model, DistributedDataParallel):
        yield from between_processes(trainer.strategy.model, module)
    if trainer.scaler is not None or type(trainer.precision_plugin) not in PRECISIONS:
        yield f"with `--trainer.precision` (={trainer.precision}) the host waits for the device in every step"
    if trainer.accumulate_grad_batches != 1:
        yield f"`--trainer.accumulate_grad_batches` (={trainer.accumulate_grad_batches}) is not 1"
    if torch.is_anomaly_enabled():
        yield "`--trainer.detect_anomaly` checks every operation"
    for hooked in (module, *trainer.callbacks):  # type: ignore[attr-defined]  # Lightning sets it from outside
        if is_overridden("on_before_backward", hooked) and not hasattr(hooked, "watches_step"):
            yield f"{type(hooked).__name__}.on_before_backward may inspect the autograd graph of the loss"
    for metric in metrics:
        if not (isinstance(metric, Sums) and metric.metric_state.keys() == {"total", "count"}):
            yield f"{type(metric).__name__} is not a metric derived from `seqsum.objectives.Sums`"
    if any(is_compiled(part) for part in module.modules()):
        yield "the network, or a part of it, is compiled by torch.compile"


def between_processes(wrapped: DistributedDataParallel, module: LightningModule) -> Iterator[str]:
    """Yield what `Averaging` does not do in place of DDP, as clauses."""
    for option in ("find_unused_parameters", "static_graph", "mixed_precision", "parameters_to_ignore"):
        if getattr(wrapped, option):
            yield f"`{option}` of DistributedDataParallel is set"
    if wrapped._comm_hooks:
        yield "DistributedDataParallel has a communication hook"
    if any(isinstance(part, nn.SyncBatchNorm) for part in module.modules()):
        yield "with `--trainer.sync_batchnorm` processes exchange messages within the forward pass"
    if any(getattr(part, "sparse", False) for part in module.modules()):
        yield "a layer has sparse gradients"


def is_compiled(part: nn.Module) -> bool:
    """Whether a module runs through torch.compile, which may recompile and run trial kernels at any time."""
    by_torch = hasattr(part, "_orig_mod") or getattr(part, "_compiled_call_impl", None) is not None
    by_lightning = getattr(part, "_compiler_ctx", None) is not None
    return by_torch or by_lightning or (isinstance(part, Recurrent) and part.backend == "compile")
