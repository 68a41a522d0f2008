"""Tests with real CUDA graphs: `python -m pytest -n 0 tests/graphs/test_cuda.py` on a machine with a GPU."""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from unittest import mock

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import LambdaCallback
from torch import Tensor

from seqsum.callbacks import Scalars
from seqsum.data import Batch, CopyMemory, DigitSums
from seqsum.data.index_tables import IndexBatch
from seqsum.diagnosis import Diagnosis, FiniteLoss
from seqsum.graphs.capture import CapturedStep
from seqsum.module import SequenceModule
from seqsum.networks import ConvEncoder, Flatten
from seqsum.objectives import Recall, RunningSum
from tests.distributed.launching import run_in_processes
from tests.graphs import job
from tests.graphs.conftest import everything, furthest

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
    pytest.mark.filterwarnings("default"),  # not every version of torch is quiet on a GPU
    pytest.mark.filterwarnings("error:Training steps run without CUDA graphs"),
]
GPU = {"accelerator": "gpu", "max_epochs": 2}  # 18 steps, of which 13 can be graphs
GRAPHS = 16 - 3


@pytest.fixture(autouse=True)
def deterministic(monkeypatch):
    """Make cuDNN deterministic; remaining differences are measured by training twice without graphs."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)


@pytest.fixture
def replays(monkeypatch):
    """Record the batches of steps that run as graphs."""
    found: list[Batch] = []
    forward = CapturedStep.forward
    monkeypatch.setattr(CapturedStep, "forward", lambda self, batch: found.append(batch) or forward(self, batch))
    return found


class MaskedSums(DigitSums):
    """Digits with some steps masked, in the inputs and in the scores."""

    def gather(self, batch: IndexBatch) -> Batch:
        return super().gather(batch)._replace(mask=batch.rows[batch.share] % 5 != 0)


@pytest.mark.parametrize(
    "settings",
    [
        {"module": {"backend": "auto"}},
        {"module": {"backend": "bptt"}},
        {"module": {"backend": "triton", "hidden_size": 16}},
        {"module": {"backend": "eager", "initial_state": "random"}},
        {"module": {"cell": "gru", "backend": "bptt", "initial_state": "learned"}},
        {"module": {"cell": "rnn", "backend": "bptt"}},
        {"module": {"cell": "torch_lstm", "backend": "auto"}},
        {"data": {"sequence_length": (2, 4), "batch_size": 8, "elastic": 0.5}, "max_epochs": 4},
        {"data_class": MaskedSums},
        {"precision": "bf16-mixed"},
        {"precision": "bf16-true", "module": {"cell": "torch_lstm", "backend": "auto"}},
        {"gradient_clip_val": 0.01, "gradient_clip_algorithm": "value"},
        {"gradient_clip_val": None},
    ],
    ids=str,
)
def test_graphs_change_nothing(train, replays, settings):
    plain: dict[str, Any] = {**GPU, **settings, "module": {**settings.get("module", {}), "cuda_graph": False}}
    first = everything(*train(**plain))
    noise = furthest(first, everything(*train(**plain)))
    assert replays == []
    graphed = everything(*train(**{**GPU, **settings, "module": {**settings.get("module", {}), "cuda_graph": True}}))
    assert len(replays) >= GRAPHS
    difference = furthest(first, graphed)
    print(f"graphs: {difference:.1e} from without, where two trainings without are {noise:.1e} apart")
    assert difference <= 10 * noise  # no difference at all where nothing differs without graphs


def test_another_experiment_is_graphs_too(train, replays):
    settings = {"data_class": CopyMemory, "data": {"epoch_size": 640}}
    module = {"objective": Recall(), "encoder": Flatten(11)}
    first, second = (
        everything(*train(**GPU, **settings, module={**module, "cuda_graph": wanted})) for wanted in (False, True)
    )
    assert len(replays) == 20 - 3
    assert furthest(first, second) < 1e-4


def test_the_optimizer_is_fused(train):
    trainer, module, _ = train(**GPU)
    assert all(group["fused"] for group in trainer.optimizers[0].param_groups)
    assert module.graphs is None


class Waitless(Callback):
    """Raises an error if a step waits for the device once there are graphs."""

    steps = 0

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        if 5 <= trainer.global_step < 8:
            pl_module.loss_read = float("inf")
            torch.cuda.set_sync_debug_mode("error")
            self.steps += 1

    def on_train_batch_end(self, *_: Any) -> None:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("wanted", [True, False])
def test_the_host_waits_for_nothing_in_a_step(train, replays, wanted):
    waitless = Waitless()
    callbacks = [Scalars(), FiniteLoss(), Diagnosis(every_n_steps=1000), waitless]  # which looks at 0, 1, 2, 4, 8, 16
    try:
        module = {"cuda_graph": wanted, "backend": "bptt"}
        train(**GPU, module=module, callbacks=callbacks, log_every_n_steps=1000)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert waitless.steps == 3
    assert bool(replays) == wanted


class WaitsInForward(RunningSum):
    def loss(self, outputs, batch):
        loss = super().loss(outputs, batch)
        return loss if loss.item() < 1e9 else loss / 2


class CopiesInForward(RunningSum):
    def loss(self, outputs, batch):
        return super().loss(outputs, batch) * torch.tensor([1.0]).to(outputs.device).squeeze()


class TossesInForward(RunningSum):
    """Draws on the host, for which a capture doesn't wait."""

    def loss(self, outputs, batch):
        return super().loss(outputs, batch) * (1.0 if torch.rand(()) < 0.5 else 0.5)


class WaitingBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values):
        return values.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient if gradient.sum().item() < 1e9 else gradient / 2


class WaitsInBackward(RunningSum):
    def loss(self, outputs, batch):
        return super().loss(WaitingBackward.apply(outputs), batch)


@pytest.mark.filterwarnings("default:Training steps run without CUDA graphs")
@pytest.mark.parametrize("objective", [WaitsInForward(), CopiesInForward(), TossesInForward(), WaitsInBackward()])
def test_after_a_capture_that_failed_all_steps_run_as_they_are_written(train, replays, objective):
    """They draw random numbers, whose generator a failed capture leaves in a bad state; later graphs still work."""
    plain, noisy = (everything(*train(**GPU, module={"objective": objective, "cuda_graph": False})) for _ in range(2))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = everything(*train(**GPU, module={"objective": objective}))
    said = [str(warning.message) for warning in caught if "CUDA graphs" in str(warning.message)]
    print(said)
    assert len(said) == 1
    assert said[0].startswith("Training steps run without CUDA graphs, since one can't be captured (")
    assert replays == []
    assert furthest(plain, found) <= 10 * furthest(plain, noisy)
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    train(**GPU, module={"cuda_graph": True})
    assert len(replays) == GRAPHS


def test_a_gradient_scaler_is_in_the_way_and_gradients_are_clipped_all_the_same(train, replays):
    trainer, *_ = train(**GPU, precision="16-mixed")
    assert trainer.optimizers[0].param_groups[0]["fused"] is None
    assert replays == []


def test_ddp_with_one_process_is_graphs_too(train, replays):
    """With NCCL, which needs a GPU for each process."""
    plain, noisy, graphed = (trained_by_ddp(train, wanted) for wanted in (False, False, True))
    assert len(replays) == GRAPHS
    assert furthest(plain, graphed) <= 10 * furthest(plain, noisy)


def trained_by_ddp(
    train, cuda_graph: Any, module: Mapping[str, Any] = MappingProxyType({}), **options: Any
) -> list[Tensor | None]:
    with mock.patch.dict(os.environ):
        try:
            return everything(*train(**GPU, module={**module, "cuda_graph": cuda_graph}, strategy="ddp", **options))
        finally:
            torch.distributed.destroy_process_group()


@pytest.mark.filterwarnings("default:Training steps run without CUDA graphs")
def test_a_failed_capture_lets_the_memory_of_ddp_go(train, replays):
    """DDP's gradients pass between two streams; the allocator keeps such memory while it believes in a capture."""
    used: list[int] = []

    def note(*_: Any) -> None:
        torch.cuda.synchronize()
        used.append(torch.cuda.memory_allocated())

    callbacks = [LambdaCallback(on_before_zero_grad=note)]
    trained_by_ddp(train, "auto", module={"objective": WaitsInForward(), "hidden_size": 256}, callbacks=callbacks)
    assert replays == []
    assert used[-1] <= used[6] + 2**18  # a set of gradients takes more than a megabyte


def test_two_processes_on_one_gpu_are_graphs_too(tmp_path, mnist_root):
    processes = run_in_processes(2, tmp_path, job.compute, job.FAST, mnist_root, tmp_path, "gpu")
    for name in job.FAST:
        assert tuple(process[name]["graphs"] for process in processes) == job.CASES[name].graphs, name
        assert all(process[name]["difference"] <= 10 * process[name]["noise"] for process in processes), name


def test_a_training_goes_on_on_another_device(train, tmp_path, mnist_root):
    """A checkpoint goes from GPU to CPU and back; AdamW is fused only on the GPU."""
    trainer, *_ = train(**GPU)
    trainer.save_checkpoint(tmp_path / "gpu.ckpt")
    for accelerator, epochs, fused in (("cpu", 3, None), ("gpu", 4, True)):
        torch.manual_seed(0)
        path = tmp_path / ("gpu.ckpt" if accelerator == "cpu" else "cpu.ckpt")
        options = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
        other = Trainer(accelerator=accelerator, devices=1, max_epochs=epochs, limit_val_batches=0, **options)
        network = SequenceModule(hidden_size=8, backend="bptt", encoder=ConvEncoder((2, 4), dropout=0.2))
        other.fit(network, DigitSums("mnist", str(mnist_root), sequence_length=3, batch_size=24), ckpt_path=path)
        assert other.global_step == 9 * epochs
        assert [group["fused"] for group in other.optimizers[0].param_groups] == [fused, fused]
        other.save_checkpoint(tmp_path / "cpu.ckpt")


def test_graphs_give_their_memory_back(train):
    def used() -> int:
        gc.collect()
        torch.cuda.synchronize()
        return torch.cuda.memory_allocated()

    train(**GPU)
    before = used()
    train(**GPU)
    assert used() <= before + 2**20


def test_what_a_callback_changes_takes_effect(train, replays):
    """Weights move to other memory, while a graph would still read the old memory."""

    def move(trainer, module, *_: Any) -> None:
        if trainer.global_step == 8:
            module.network.head.weight.data = module.network.head.weight.data * 2

    first, noisy, second = (
        everything(*train(**GPU, callbacks=[LambdaCallback(on_train_batch_start=move)], module={"cuda_graph": wanted}))
        for wanted in (False, False, True)
    )
    assert furthest(first, second) <= 10 * furthest(first, noisy)
    assert len(replays) == GRAPHS
