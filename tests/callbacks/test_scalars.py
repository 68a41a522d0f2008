"""Logged curves equal the values of the Trainer and the metrics."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.loggers import TensorBoardLogger

from seqsum.callbacks import Scalars
from seqsum.data import Batch
from tests.callbacks.conftest import events

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers")


class Gradients(Callback):
    """Record the gradient norm before and after clipping."""

    def __init__(self):
        self.before, self.after = [], []

    def norm(self, module):
        return torch.cat([weight.grad.flatten() for weight in module.parameters()]).norm().item()

    def on_after_backward(self, trainer, module):
        self.before.append(self.norm(module))

    def on_before_zero_grad(self, trainer, module, optimizer):
        if module.network.head.weight.grad is not None:
            self.after.append(self.norm(module))


@pytest.fixture
def run(make_run, tmp_path):
    """Run a training, and record its gradient norms."""
    gradients = Gradients()
    trainer, module, data = make_run([Scalars(), gradients], TensorBoardLogger(tmp_path), gradient_clip_val=0.01)
    trainer.fit(module, data)
    return events(trainer.logger.log_dir), gradients, trainer


def values(found, name):
    return [event.value for event in found.Scalars(name)]


def test_gradient_norm_is_that_before_clipping(run):
    found, gradients, _ = run
    assert values(found, "train/gradient_norm") == pytest.approx(gradients.before, rel=1e-4)
    assert max(gradients.after) < 0.0101 < min(gradients.before)


def test_learning_rate_is_that_of_each_step(run):
    found, _, _ = run
    weights = [torch.nn.Parameter(torch.zeros(1))]
    optimizer = torch.optim.AdamW(weights, lr=5e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=6)
    expected = []
    for _ in range(6):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(expected) < 6:
            schedule.step()
    assert values(found, "train/learning_rate") == pytest.approx(expected)


def test_metrics_by_step_have_the_metric_as_their_mean(run):
    found, _, trainer = run
    for name in ("exact_step", "mae"):
        by_step = [values(found, f"val_by_step/{name}_t{step}")[-1] for step in range(1, 5)]
        assert sum(by_step) / 4 == pytest.approx(trainer.callback_metrics[f"val/{name}"].item())
    assert values(found, "val_by_step/exact_step_t4") == pytest.approx(values(found, "val/exact_final"))
    assert not [name for name in found.Tags()["scalars"] if "exact_final_t" in name], "it has but one step"


def test_images_per_second_leave_out_the_validation(make_run, tmp_path, monkeypatch):
    """Use a clock that advances by 1 s per training batch and 100 s per validation."""
    now = 0.0
    monkeypatch.setattr("seqsum.callbacks.scalars.time.perf_counter", lambda: now)

    class Clock(Callback):
        def on_train_batch_start(self, *_):
            nonlocal now
            now += 1

        def on_validation_start(self, *_):
            nonlocal now
            now += 100

    options = {"val_check_interval": 2, "limit_train_batches": 4}
    trainer, module, data = make_run([Clock(), Scalars()], TensorBoardLogger(tmp_path), **options)
    trainer.fit(module, data)
    assert values(events(trainer.logger.log_dir), "train/images_per_second") == [8 * 4, 8 * 4], "images in a batch"


def test_without_a_logger_nothing_is_missing(make_run):
    trainer, module, data = make_run([Scalars()])
    trainer.fit(module, data)
    assert trainer.callback_metrics["val_by_step/mae_t1"] > 0


def test_of_long_sequences_only_some_steps_have_a_curve(make_run, tmp_path):
    trainer, module, data = make_run([Scalars()], TensorBoardLogger(tmp_path), data={"sequence_length": 70})
    trainer.fit(module, data)
    tags = events(trainer.logger.log_dir).Tags()["scalars"]
    steps = sorted(int(tag.rpartition("_t")[2]) for tag in tags if tag.startswith("val_by_step/mae_t"))
    assert steps == [*range(3, 70, 3), 70]


@pytest.mark.filterwarnings("ignore:.*smaller than the logging interval")
@pytest.mark.parametrize(("every", "logged"), [(50, [2, 5]), (3, [2, 5]), (2, [1, 3, 5]), (0, [])])
def test_there_are_values_in_every_epoch_however_short(make_run, tmp_path, every, logged):
    """Two epochs of three steps."""
    trainer, module, data = make_run([Scalars()], TensorBoardLogger(tmp_path), log_every_n_steps=every)
    trainer.fit(module, data)
    tags = events(trainer.logger.log_dir)
    steps = [event.step for event in tags.Scalars("train/step_loss")] if logged else []
    assert steps == logged


@pytest.mark.filterwarnings("ignore:.*smaller than the logging interval")
def test_and_with_steps_of_several_batches(make_run, tmp_path):
    trainer, module, data = make_run(
        [Scalars()], TensorBoardLogger(tmp_path), log_every_n_steps=50, accumulate_grad_batches=2
    )
    trainer.fit(module, data)
    tags = events(trainer.logger.log_dir)
    assert [event.step for event in tags.Scalars("train/gradient_norm")] == [1, 3]


def test_images_of_all_processes_are_counted(monkeypatch):
    monkeypatch.setattr("seqsum.callbacks.scalars.time.perf_counter", lambda: 0.0)
    scalars, logged = Scalars(), {}
    scalars.read, scalars.seconds = 60, 2.0
    module = SimpleNamespace(log=lambda name, value, **_: logged.update({name: value}))
    scalars.on_train_epoch_end(SimpleNamespace(world_size=4), module)
    assert logged == {"train/images_per_second": 120.0}


def test_images_per_second_are_those_of_the_epoch(make_run, tmp_path, monkeypatch):
    """Use a clock that advances by 1 s per batch of the first epoch, and by 4 s per batch of the second."""
    now = 0.0
    monkeypatch.setattr("seqsum.callbacks.scalars.time.perf_counter", lambda: now)

    class Clock(Callback):
        def on_train_batch_start(self, trainer, *_):
            nonlocal now
            now += 1 if trainer.current_epoch == 0 else 4

    trainer, module, data = make_run([Clock(), Scalars()], TensorBoardLogger(tmp_path))
    trainer.fit(module, data)
    found = events(trainer.logger.log_dir).Scalars("train/images_per_second")
    assert [event.value for event in found] == [8 * 4, 8]


def test_of_padded_sequences_of_images_the_sequences_are_counted():
    scalars, inputs = Scalars(), torch.zeros(2, 3, 1, 28, 28)
    targets, mask = torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool)
    scalars.on_train_batch_end(None, None, None, Batch(inputs, targets, mask), 0)
    assert (scalars.read, scalars.unit) == (2, "sequences")


def test_the_clock_starts_where_a_training_goes_on_within_an_epoch(monkeypatch):
    now = 1_000.0
    monkeypatch.setattr("seqsum.callbacks.scalars.time.perf_counter", lambda: now)
    scalars = Scalars()
    settings = {"log_every_n_steps": 50, "num_training_batches": 3, "accumulate_grad_batches": 1}
    scalars.on_train_start(SimpleNamespace(**settings), None)
    now += 2
    scalars.on_train_batch_end(None, None, None, Batch(torch.zeros(2, 3), torch.zeros(2, 3)), 2)
    assert scalars.seconds == 2


def test_a_process_that_read_nothing_logs_as_well():
    """All log together: one that did not would let the others wait for ever."""
    scalars, logged = Scalars(), {}
    scalars.on_train_epoch_start(None, None)
    scalars.on_train_batch_end(None, None, None, Batch(torch.zeros(0, 3), torch.zeros(0, 3)), 0)
    module = SimpleNamespace(log=lambda name, value, **_: logged.update({name: value}))
    scalars.on_train_epoch_end(SimpleNamespace(world_size=2), module)
    assert logged == {"train/sequences_per_second": 0}


def test_an_epoch_without_a_batch_has_no_speed():
    Scalars().on_train_epoch_end(SimpleNamespace(world_size=1), None)
