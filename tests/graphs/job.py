"""Trainings of several processes, with and without graphs, each compared within its process."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from unittest import mock

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import LambdaCallback
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn

from seqsum.data import Batch
from seqsum.graphs import steps
from seqsum.graphs.capture import CapturedStep
from seqsum.networks import ConvEncoder
from tests.graphs.conftest import everything, furthest, train_small, use_stand_in


class WatchesInOneProcess(Callback):
    """Watches some steps, in the last process alone."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        self.watched = is_last(trainer) and trainer.global_step in (5, 6, 8)

    def watches_step(self) -> bool:
        return self.watched


def looks_back_in_one_process() -> list[Callback]:
    """Make a callback, in the last process alone, that may look at the autograd graph of the loss."""
    return [LambdaCallback(on_before_backward=lambda *_: None)] if os.environ["RANK"] == "1" else []


class Accumulating(Callback):
    """Accumulates gradients in the second epoch."""

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        trainer.accumulate_grad_batches = 2 if trainer.current_epoch == 1 else 1


def is_last(trainer: Trainer) -> bool:
    return trainer.global_rank == trainer.world_size - 1


class Frozen(Callback):
    """Freezes the head before DDP sees it."""

    def setup(self, trainer, pl_module, stage) -> None:
        pl_module.network.head.requires_grad_(False)


class Mixed(ConvEncoder):
    """An encoder whose weights are of two types, one of them not stored in order of its shape."""

    def __init__(self) -> None:
        super().__init__((2, 4), dropout=0.2)
        self.scale = nn.Parameter(torch.ones(self.output_size, 2, dtype=torch.float64).t())

    def forward(self, images):
        factors, terms = self.scale.float()
        return super().forward(images) * factors + terms


class Case(NamedTuple):
    """A training, and how many of its steps are graphs in each of two processes."""

    graphs: tuple[int, int]
    settings: Mapping[str, Any] = MappingProxyType({})
    make_callbacks: Callable[[], Iterable[Callback]] = tuple
    fails_in_one: bool = False  # the capture, in the last process


GRAPHS = 4 * 3 - 3  # of four full batches in each of three epochs; the last batch is a shorter one
ALL = (GRAPHS, GRAPHS)
CASES = {
    "plain": Case(ALL, {"gradient_clip_val": None}),
    "clipped values": Case(ALL, {"gradient_clip_algorithm": "value", "gradient_clip_val": 0.01}),
    "uneven shares": Case((10, 10), {"data": {"sequence_length": 7, "batch_size": 12}, "max_epochs": 4}),
    "a process without rows": Case((6, 3), {"data": {"sequence_length": 7, "batch_size": 42}, "max_epochs": 6}),
    "lengths": Case((15, 15), {"data": {"sequence_length": (2, 4), "batch_size": 8, "elastic": 0.5}, "max_epochs": 2}),
    "watched in one": Case((GRAPHS, GRAPHS - 3), {}, lambda: [WatchesInOneProcess()]),
    "captured in one": Case((GRAPHS, 0), {}, fails_in_one=True),
    "refused in one": Case((0, 0), {}, looks_back_in_one_process),
    "frozen": Case(ALL, {}, lambda: [Frozen()]),
    "accumulating": Case((1 + 4, 1 + 4), {}, lambda: [Accumulating()]),
    "two types of weights": Case(ALL, {"module": {"encoder": Mixed()}, "gradient_clip_val": None}),
    "bf16-mixed": Case(ALL, {"precision": "bf16-mixed"}),
}

FAST = (
    "uneven shares",
    "watched in one",
    "captured in one",
    "refused in one",
)  # of two processes; the other cases are slow tests


def compute(names: Sequence[str], root: Path, folder: Path, accelerator: str) -> dict[str, dict[str, Any]]:
    """Train the named cases as one of two processes, with and without graphs, and compare."""
    # each process as on a machine of its own, so that they can share a GPU
    os.environ.update(LOCAL_RANK="0", NODE_RANK=os.environ["RANK"])
    torch.backends.cudnn.deterministic = True
    return {name: compare(CASES[name], root, folder, accelerator) for name in names}


def compare(case: Case, root: Path, folder: Path, accelerator: str) -> dict[str, Any]:
    replayed: list[Batch] = []

    def run(cuda_graph: bool) -> list[Tensor | None]:
        settings = {**case.settings, "module": {**case.settings.get("module", {}), "cuda_graph": cuda_graph}}
        backend = "gloo" if accelerator == "gpu" else None  # NCCL wants a GPU for each process
        together = {"strategy": DDPStrategy(process_group_backend=backend), "num_nodes": 2, "accelerator": accelerator}
        return everything(*train_small(folder, root, 24, callbacks=case.make_callbacks(), **settings, **together))

    plain = run(cuda_graph=False)
    noise = furthest(plain, run(cuda_graph=False)) if accelerator == "gpu" else 0.0
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        forward = CapturedStep.forward
        patch.setattr(CapturedStep, "forward", lambda self, batch: replayed.append(batch) or forward(self, batch))
        if accelerator == "cpu":
            use_stand_in(patch)
        if case.fails_in_one and os.environ["RANK"] == "1":
            patch.setattr(steps.Captures, "capture", mock.Mock(side_effect=RuntimeError("no memory")))
        graphed = run(cuda_graph=True)
    said = [str(warning.message) for warning in caught if "without CUDA graphs" in str(warning.message)]
    return {"difference": furthest(plain, graphed), "noise": noise, "graphs": len(replayed), "said": said}
