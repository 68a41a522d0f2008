"""Small trainings with and without graphs, and comparison of their results."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch import distributed

from seqsum.callbacks import Seeds
from seqsum.data import DigitSums, SequenceData
from seqsum.module import SequenceModule
from seqsum.networks import ConvEncoder
from tests.graphs.stand_in import BatchStandIn, StandIn


class Course(Callback):
    """Records a training's loss and gradients in each step, and its metrics in each epoch."""

    def __init__(self) -> None:
        self.losses: list[torch.Tensor] = []
        self.gradients: list[list[torch.Tensor | None]] = []
        self.metrics: list[dict[str, torch.Tensor]] = []

    def on_before_zero_grad(self, trainer, pl_module, optimizer) -> None:
        """Record the previous step's gradients, after clipping."""
        self.gradients.append([None if p.grad is None else p.grad.clone() for p in pl_module.parameters()])

    def on_before_optimizer_step(self, trainer, pl_module, optimizer) -> None:
        """Record the gradients before clipping."""
        self.on_before_zero_grad(trainer, pl_module, optimizer)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        if not distributed.is_initialized() and trainer.accumulate_grad_batches == 1:
            assert torch.equal(outputs["loss"], outputs["batch_loss"])
        self.losses.append(outputs["batch_loss"])

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        metrics = [pl_module.train_loss, *pl_module.train_metrics.values()]
        found = {f"mean {k}": metric.compute() for k, metric in enumerate(metrics)}
        updates = {f"updates {k}": torch.tensor(metric.update_count) for k, metric in enumerate(metrics)}
        self.metrics.append(found | updates | trainer.callback_metrics)


def everything(trainer: Trainer, module: SequenceModule, course: Course) -> list[torch.Tensor | None]:
    """List all tensors that a training ends with."""
    states = [*trainer.optimizers[0].state.values()]
    return [
        *module.state_dict().values(),
        *(tensor for state in states for tensor in state.values()),
        *course.losses,
        *(gradient for step in course.gradients for gradient in step),
        # a GPU's losses are logged by the clock
        *(value for epoch in course.metrics for name, value in epoch.items() if name != "train/step_loss"),
    ]


def assert_equal(one: list[torch.Tensor | None], other: list[torch.Tensor | None]) -> None:
    """Assert that two lists of tensors are equal, bit for bit."""
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert (a is None) == (b is None)
        assert a is None or torch.equal(a, b)


def furthest(one: list[torch.Tensor | None], other: list[torch.Tensor | None]) -> float:
    """Return the largest difference of two trainings, relative to the size of its tensor; 0 if all bits are equal."""
    assert len(one) == len(other)
    largest = 0.0
    for a, b in zip(one, other, strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None and not torch.equal(a, b.to(a.device)):
            size = a.double().abs().max().clamp(min=1e-6).item()
            difference = (a.double() - b.to(a.device).double()).abs().max().item() / size
            largest = max(largest, difference) if math.isfinite(difference) else math.inf
    return largest


def use_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Capture steps by the stand-in, and reset its counts."""
    monkeypatch.setattr("seqsum.graphs.module.Captures", StandIn)
    monkeypatch.setattr("seqsum.graphs.steps.Captures", StandIn)
    monkeypatch.setattr("seqsum.graphs.batches.Captures", BatchStandIn)
    # the values of classes are not read on a GPU
    monkeypatch.setattr("seqsum.objectives.Objective.classes", lambda self, targets, count: targets.long())
    for kind in (StandIn, BatchStandIn):
        monkeypatch.setattr(kind, "captured", 0)
        monkeypatch.setattr(kind, "replayed", 0)


def train_small(
    folder: Path,
    root: Path,
    batch_size: int,
    module: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None,
    data_class: type[SequenceData] = DigitSums,
    module_class: type[SequenceModule] = SequenceModule,
    callbacks: Iterable[Callback] = (),
    **options: Any,
) -> tuple[Trainer, SequenceModule, Course]:
    """Train a small network; return the Trainer, the module and the record."""
    torch.manual_seed(0)
    encoder = ConvEncoder((2, 4), dropout=0.2)
    settings = {"hidden_size": 8, "backend": "bptt", "encoder": encoder, **copy.deepcopy(module or {})}
    network = module_class(**settings)
    course = Course()
    quiet = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    defaults = {"max_epochs": 3, "limit_val_batches": 2, "gradient_clip_val": 1.0, "log_every_n_steps": 2}
    trainer = Trainer(
        accelerator=options.pop("accelerator", "cpu"),
        devices=1,
        default_root_dir=folder,
        callbacks=[Seeds(0), *callbacks, course],
        **dict.fromkeys(quiet, False),
        **{**defaults, **options},
    )
    digits = {"dataset": "mnist", "root": str(root), "sequence_length": 3, "batch_size": batch_size}
    arguments = {**(digits if issubclass(data_class, DigitSums) else {}), **(data or {})}
    trainer.fit(network, data_class(**arguments))
    return trainer, network, course


@pytest.fixture
def group():
    """A group of one process."""
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield distributed.group.WORLD
    distributed.destroy_process_group()


@pytest.fixture
def stand_in(monkeypatch):
    """Use the stand-in until the end of the test."""
    use_stand_in(monkeypatch)


@pytest.fixture
def batch_size():
    """Sequences in a batch: 24 of 200, so that an epoch has eight full batches and a shorter one."""
    return 24


@pytest.fixture
def train(tmp_path, mnist_root, batch_size):
    """Train a small network; see `train_small`."""
    return partial(train_small, folder=tmp_path, root=mnist_root, batch_size=batch_size)


@pytest.fixture
def assert_same(train, request):
    """Assert that a training has the same results with graphs; each training makes its own callbacks."""

    def compare(
        make_callbacks: Callable[[], Iterable[Callback]] = tuple, **settings: Any
    ) -> tuple[Trainer, SequenceModule, Course]:
        plain = everything(*train(callbacks=make_callbacks(), **settings))
        request.getfixturevalue("stand_in")
        graphed = train(callbacks=make_callbacks(), **settings)
        assert_equal(everything(*graphed), plain)
        return graphed

    return compare
