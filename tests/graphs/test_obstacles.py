"""Steps that can't be graphs run eagerly with the same results, and the user is told why, once."""

from __future__ import annotations

import itertools
import logging
import warnings

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import LambdaCallback
from lightning.pytorch.plugins.precision import MixedPrecision, Precision
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel
from torchmetrics import MeanMetric, MetricCollection

from seqsum.data import Batch
from seqsum.graphs.obstacles import between_processes, is_compiled, obstacles
from seqsum.module import SequenceModule
from seqsum.networks import ConvEncoder
from seqsum.objectives import RunningSum, WeightedMean
from tests.graphs.conftest import assert_equal, everything
from tests.graphs.stand_in import StandIn

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers")
SENTENCE = "Training steps run without CUDA graphs, since"


class LooksBack(Callback):
    def on_before_backward(self, trainer, pl_module, loss) -> None:
        assert loss.grad_fn is not None


class LooksBackItself(SequenceModule):
    def on_before_backward(self, loss) -> None:
        assert loss.grad_fn is not None


class OwnPrecision(Precision):
    """A precision that may do anything with losses and gradients."""


class OwnStrategy(DDPStrategy):
    """A strategy that may do anything with gradients."""


class Regularised(SequenceModule):
    """Adds to the loss outside the captured parts."""

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        step = super().training_step(batch, batch_idx)
        penalty = 1e-3 * self.network.head.weight.square().sum()
        return {"loss": step["loss"] + penalty, "batch_loss": (step["loss"] + penalty).detach()}


class WithTorchMetrics(RunningSum):
    """An objective with a metric from another package."""

    def metrics(self) -> MetricCollection:
        class Error(MeanMetric):
            def update(self, outputs, targets, mask=None):
                super().update((outputs.squeeze(-1) - targets).abs())

        return MetricCollection({**super().metrics(), "exact_final": Error()})


class WithMoreSums(RunningSum):
    """An objective with a metric that keeps more than a graph's metrics do."""

    def metrics(self) -> MetricCollection:
        class Most(WeightedMean):
            def __init__(self):
                super().__init__()
                self.add_state("most", torch.zeros(()), dist_reduce_fx="max")

            def update(self, outputs, targets, mask=None):
                self.most = torch.maximum(self.most, outputs.detach().max())
                super().update(self.most, 1)

        return MetricCollection({**super().metrics(), "exact_final": Most()})


def said_of(caught) -> list[str]:
    """List the warnings about graphs."""
    return [str(warning.message) for warning in caught if SENTENCE in str(warning.message)]


@pytest.fixture
def assert_runs_as_written(train, request):
    """Train with and without graphs, and return the messages about graphs."""

    def compare(settings) -> list[str]:
        plain = everything(*train(max_epochs=1, **settings))
        request.getfixturevalue("stand_in")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            settings["module"] = {**settings.get("module", {}), "cuda_graph": True}
            assert_equal(everything(*train(max_epochs=1, **settings)), plain)
        return said_of(caught)

    return compare


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"callbacks": [LooksBack()]}, "LooksBack.on_before_backward may inspect the autograd graph of the loss"),
        (
            {"callbacks": [LambdaCallback(on_before_backward=lambda *_: None)]},
            "LambdaCallback.on_before_backward may inspect",
        ),
        ({"module_class": LooksBackItself}, "LooksBackItself.on_before_backward may inspect"),
        ({"module_class": Regularised}, "Regularised has a `training_step` of its own"),
        ({"module": {"objective": WithTorchMetrics()}}, "Error is not a metric derived from"),
        ({"module": {"objective": WithMoreSums()}}, "Most is not a metric derived from"),
        ({"module": {"carry": 2}}, "with `--model.carry` (=2) steps read different numbers of sequences"),
        ({"module": {"truncate": 2}}, "with `--model.truncate` (=2) the backward pass runs the network again"),
        ({"accumulate_grad_batches": 2}, "`--trainer.accumulate_grad_batches` (=2) is not 1"),
        ({"detect_anomaly": True}, "`--trainer.detect_anomaly` checks every operation"),
    ],
)
def test_a_training_runs_as_it_is_written_and_says_why(assert_runs_as_written, settings, reason):
    (said,) = assert_runs_as_written(settings)
    assert said.startswith(f"{SENTENCE} {reason}")
    assert StandIn.captured == 0


@pytest.mark.parametrize("name", ["training_step", "backward", "training_loss", "_shared_step", "forward"])
def test_a_part_of_the_step_that_is_ones_own_is_in_the_way(name):
    module = type("Own", (SequenceModule,), {name: lambda *_: None})()
    assert module.graph_obstacle() == f"Own has a `{name}` of its own"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"strategy": OwnStrategy()}, "the strategy is OwnStrategy, neither a single device nor DDP"),
        (
            {"plugins": [MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))]},
            "with `--trainer.precision` (=16-mixed) the host waits for the device in every step",
        ),
        (
            {"plugins": [OwnPrecision()]},
            "with `--trainer.precision` (=32-true) the host waits for the device in every step",
        ),
    ],
)
def test_what_a_trainer_has_in_the_way(tmp_path, options, reason):
    trainer = Trainer(accelerator="cpu", devices=1, default_root_dir=tmp_path, logger=False, **options)
    assert [*obstacles(trainer, SequenceModule(), [])] == [reason]


@pytest.mark.parametrize(
    ("options", "change", "reason"),
    [
        ({}, lambda wrapped: None, []),
        ({"gradient_as_bucket_view": True}, lambda wrapped: None, []),
        (
            {"find_unused_parameters": True},
            lambda wrapped: None,
            ["`find_unused_parameters` of DistributedDataParallel is set"],
        ),
        ({"static_graph": True}, lambda wrapped: None, ["`static_graph` of DistributedDataParallel is set"]),
        (
            {},
            lambda wrapped: setattr(wrapped, "mixed_precision", torch.bfloat16),
            ["`mixed_precision` of DistributedDataParallel is set"],
        ),
        (
            {},
            lambda wrapped: wrapped.parameters_to_ignore.add("0.bias"),
            ["`parameters_to_ignore` of DistributedDataParallel is set"],
        ),
        (
            {},
            lambda wrapped: wrapped.register_comm_hook(None, allreduce_hook),
            ["DistributedDataParallel has a communication hook"],
        ),
        (
            {},
            lambda wrapped: wrapped.module.append(nn.SyncBatchNorm(1)),
            ["with `--trainer.sync_batchnorm` processes exchange messages within the forward pass"],
        ),
        ({}, lambda wrapped: wrapped.module.append(nn.Embedding(2, 2, sparse=True)), ["a layer has sparse gradients"]),
    ],
)
def test_what_ddp_does_between_processes_may_be_in_the_way(group, options, change, reason):
    wrapped = DistributedDataParallel(nn.Sequential(nn.Linear(1, 1)), **options)
    change(wrapped)
    assert [*between_processes(wrapped, wrapped.module)] == reason


def test_torch_compile_is_in_the_way():
    assert not is_compiled(SequenceModule())
    layer = nn.Linear(2, 2)
    layer.compile()
    assert is_compiled(layer)
    assert is_compiled(torch.compile(nn.Linear(2, 2)))
    assert is_compiled(SequenceModule(backend="compile").network.recurrence)
    module = SequenceModule()
    module._compiler_ctx = {}  # what Lightning does with a compiled one
    assert is_compiled(module)
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    (reason,) = obstacles(trainer, SequenceModule(backend="compile"), [])
    assert reason == "the network, or a part of it, is compiled by torch.compile"


class Waits(RunningSum):
    """Reads a number on the host in the middle of a step."""

    def loss(self, outputs, batch):
        loss = super().loss(outputs, batch)
        return loss if loss.item() < 1e9 else loss / 2


def test_after_a_capture_that_failed_all_steps_run_as_they_are_written(assert_runs_as_written):
    (said,) = assert_runs_as_written({"module": {"objective": Waits()}})
    assert said == f"{SENTENCE} one can't be captured (aten._local_scalar_dense.default can't be captured)."
    assert StandIn.captured == 0


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_a_capture_that_fails_leaves_nothing_behind(assert_runs_as_written, monkeypatch, failing):
    """The capture of the forward pass, the backward pass or the clipping fails after recording its operations."""
    calls, capture = itertools.count(1), StandIn.capture

    def fail(self, run):
        captured = capture(self, run)
        if type(self) is StandIn and next(calls) == failing:
            raise RuntimeError("operation not permitted\nwhen stream is capturing")
        return captured

    monkeypatch.setattr(StandIn, "capture", fail)
    assert assert_runs_as_written({}) == [f"{SENTENCE} one can't be captured (operation not permitted)."]
    assert StandIn.captured == failing
    assert StandIn.replayed == 0


class Counts(ConvEncoder):
    """A network whose Python code does something different in each step."""

    calls = 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(images) * (1 + 0.1 * self.calls)


def test_a_network_whose_python_changes_in_every_step_is_not_captured(assert_runs_as_written):
    (said,) = assert_runs_as_written({"module": {"encoder": Counts((2, 4))}})
    assert said == f"{SENTENCE} one can't be captured (attributes of its modules change in every step)."
    assert StandIn.replayed == 0


class Annealed(Callback):
    """Changes the network before every other step."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        if batch_idx % 2:
            next(part for part in pl_module.network.modules() if isinstance(part, nn.Dropout)).p = 0.01 * batch_idx


def test_a_network_that_changes_too_often_is_given_up(assert_runs_as_written, monkeypatch):
    monkeypatch.setattr("seqsum.graphs.steps.MAX_CHANGES", 1)
    assert assert_runs_as_written({"callbacks": [Annealed()]}) == [f"{SENTENCE} the network changes too often."]
    assert StandIn.captured == 6


def test_a_cpu_has_no_graphs_which_is_said_to_those_who_ask_for_them(train):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(max_epochs=1, module={"cuda_graph": True})
    assert said_of(caught) == [f"{SENTENCE} the device is cpu."]
    with warnings.catch_warnings():
        warnings.filterwarnings("error", SENTENCE)
        for wanted in ("auto", False):
            _, module, _ = train(max_epochs=1, module={"cuda_graph": wanted})
            assert module.graphs is None


def test_nobody_is_warned_who_has_not_asked_for_graphs(train, stand_in, caplog):
    with warnings.catch_warnings(), caplog.at_level(logging.INFO):
        warnings.filterwarnings("error", SENTENCE)
        train(max_epochs=1, accumulate_grad_batches=2)
    assert f"{SENTENCE} `--trainer.accumulate_grad_batches` (=2) is not 1." in caplog.text


def test_graphs_can_be_switched_off(train, stand_in):
    train(max_epochs=1, module={"cuda_graph": False})
    assert StandIn.captured == 0
