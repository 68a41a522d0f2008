"""Checks of what a `SequenceModule` is made of, and of what a checkpoint says of that."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import Metric

from seqsum.errors import InputError
from seqsum.networks import build_network
from seqsum.objectives import Objective
from seqsum.optimization import OptimizerCallable

LEARNING_RATE, WEIGHT_DECAY = 5e-3, 1e-2


def check_update(objective: Objective, name: str, metric: Metric) -> None:
    """Refuse a metric that does not take what a step gives it, as torchmetrics' own do not.

    Raises:
        InputError: It does not.
    """
    try:
        inspect.signature(metric.update).bind(None, None, None)
    except TypeError as error:
        kind = type(metric).__name__
        raise InputError(
            f"`update` of {kind}, the metric {name!r} of {type(objective).__name__}, must take outputs, targets and "
            "the mask of the scored steps: call torchmetrics' own from an `update` that does"
        ) from error


def check_kinds(objective: Any, optimizer: Any, schedule: Any) -> None:
    """Refuse what torch takes in these places."""
    if not isinstance(objective, Objective | None):
        given = objective.__name__ if isinstance(objective, type) else type(objective).__name__
        raise TypeError(
            f"`objective` (={given}) must be an instance of an Objective, such as `Classification(10)`; for a loss of "
            "your own see docs/extending.md"
        )
    for name, given, kind in (("optimizer", optimizer, Optimizer), ("schedule", schedule, LRScheduler)):
        if isinstance(given, kind):
            of = "parameters" if name == "optimizer" else "optimizer"
            raise TypeError(
                f"`{name}` (={type(given).__name__}) must be what makes one, of the {of}: "
                f"`lambda {of}: {type(given).__name__}({of}, …)`"
            )


def check_rates(
    learning_rate: float, weight_decay: float, encoder_learning_rate: float | None, optimizer: OptimizerCallable | None
) -> None:
    """Refuse rates out of their range, and those of AdamW beside another optimizer."""
    for name, rate in (("learning_rate", learning_rate), ("encoder_learning_rate", encoder_learning_rate)):
        if rate is not None and not rate > 0:  # NaN neither
            raise ValueError(f"`{name}` (={rate}) must be above 0")
    if not weight_decay >= 0:
        raise ValueError(f"`weight_decay` (={weight_decay}) must be at least 0")
    if optimizer is not None:
        given: dict[str, float | None] = {"learning_rate": learning_rate, "weight_decay": weight_decay}
        given["encoder_learning_rate"] = encoder_learning_rate
        defaults = {"learning_rate": LEARNING_RATE, "weight_decay": WEIGHT_DECAY, "encoder_learning_rate": None}
        _check_unused(given, defaults, "optimizer", "lr, say")


def check_encoder(network: nn.Module, encoder_learning_rate: float) -> None:
    """Refuse a rate for an encoder that isn't there or has no weights."""
    encoder = getattr(network, "encoder", None)
    if isinstance(encoder, nn.Module) and any(True for _ in encoder.parameters()):
        return
    name = type(network).__name__
    lacks = f"whose weights are trained: that of {name} has none" if encoder is not None else f"which {name} has not"
    raise ValueError(f"`encoder_learning_rate` (={encoder_learning_rate}) needs a network with an `encoder`, {lacks}")


def check_network(network: nn.Module, objective: Objective, options: Mapping[str, Any]) -> None:
    """Refuse a network of the wrong kind or size, and options of the default network beside one's own."""
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
    """Whether a setting is the default; a list from a file equals a tuple in Python."""
    return list(value) == list(default) if isinstance(default, tuple | list) else value == default


def _check_unused(given: Mapping[str, Any], defaults: Mapping[str, Any], other: str, instead: str) -> None:
    """Refuse arguments that would have no effect; one given with its default value can't be noticed."""
    for name, value in given.items():
        if not is_same(value, defaults[name]):
            raise ValueError(
                f"`{name}` (={value!r}) is of the default {other}, and would have no effect on your own `{other}`, "
                f"which has arguments of its own, {instead}: leave it at {defaults[name]!r}"
            )
