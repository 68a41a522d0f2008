"""A training has the same results with and without graphs, bit for bit, with a stand-in for CUDA graphs on the CPU."""

from __future__ import annotations

import copy
import pickle
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import LambdaCallback
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
)
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from seqsum.callbacks import AveragedWeights
from seqsum.data import Batch, CopyMemory, DigitRows, DigitSums, SineCurves
from seqsum.data.index_tables import IndexBatch
from seqsum.diagnosis import Diagnosis
from seqsum.module import SequenceModule
from seqsum.networks import ConvEncoder, Flatten
from seqsum.objectives import Classification, NextSample, Recall, RunningSum
from seqsum.recurrent import trace
from tests.graphs.stand_in import StandIn

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers")
PARTS = 3  # forward, backward, clipping
FULL = 15  # full batches in three epochs of 600 digits; the last of each epoch is a shorter one


@pytest.fixture
def batch_size():
    """Larger than elsewhere: fewer steps show as much."""
    return 36


class MaskedSums(DigitSums):
    """Digits with some steps masked in the inputs, others in the scores, and answers that `AgainstAnswers` reads."""

    def gather(self, batch: IndexBatch) -> Batch:
        rows = batch.rows[batch.share]
        return super().gather(batch)._replace(mask=rows % 5 != 0, target_mask=rows % 7 != 0, negatives=rows[:1])


class AgainstAnswers(RunningSum):
    """Weighs the loss by other answers of the batch."""

    def loss(self, outputs, batch):
        return super().loss(outputs, batch) * (1 + batch.negatives % 7).float().mean()


@pytest.mark.parametrize(
    "settings",
    [
        {"module": {"backend": "eager"}},
        {"module": {"output_activation": "tanh", "bias": "one"}},
        {"module": {"cell": "gru", "num_layers": 2}},
        {"module": {"cell": "rnn", "bias": "none"}},
        {"module": {"cell": "torch_lstm", "backend": "auto"}},
        {"module": {"initial_state": "learned", "head_sizes": [5]}},
        {"module": {"initial_state": "random", "schedule": "constant"}},
        {"module": {"encoder": ConvEncoder((2, 4), activation="choice")}},
        {"data": {"sequence_length": (2, 4), "batch_size": 16, "elastic": 0.5}},
        {"data_class": MaskedSums, "module": {"encoder": Flatten(784), "objective": AgainstAnswers()}},
        {"gradient_clip_val": 0.01, "gradient_clip_algorithm": "value"},
        {"gradient_clip_val": None},
        {"precision": "bf16-mixed"},
        {"precision": "bf16-true", "module": {"backend": "eager"}},
        {"precision": "64-true"},
        {"val_check_interval": 4},
    ],
    ids=str,
)
def test_graphs_change_nothing(assert_same, settings):
    assert_same(**settings, max_epochs=2)
    assert StandIn.replayed > 0


@pytest.mark.parametrize(
    ("data_class", "data", "objective", "features"),
    [
        (DigitRows, {"batch_size": 100}, Classification(), 28),
        (CopyMemory, {"epoch_size": 160}, Recall(), 11),
        (SineCurves, {"epoch_size": 160, "sequence_length": 9}, NextSample(), 1),
    ],
)
def test_other_experiments_are_graphs_too(assert_same, mnist_root, data_class, data, objective, features):
    digits = {"dataset": "mnist", "root": str(mnist_root)} if data_class is DigitRows else {}
    module = {"objective": objective, "encoder": Flatten(features)}
    assert_same(data_class=data_class, data={**digits, **data}, module=module)
    assert StandIn.replayed > 0


def test_each_shape_is_captured_after_three_steps_and_no_sooner(train, stand_in):
    train(max_epochs=4)
    assert StandIn.captured == 2 * PARTS  # full batches, and the last ones of the epochs
    assert StandIn.replayed == (20 - 3 + 4 - 3) * PARTS


def test_no_more_shapes_are_captured_than_allowed(train, stand_in, monkeypatch):
    monkeypatch.setattr("seqsum.graphs.steps.MAX_SHAPES", 1)
    train(max_epochs=4)
    assert StandIn.captured == PARTS
    assert StandIn.replayed == (20 - 3) * PARTS


class Onlooker(Callback):
    """Watches some steps, and counts how often the network's Python code runs."""

    def __init__(self, steps: tuple[int, ...]) -> None:
        self.steps, self.step, self.seen = steps, 0, 0

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        self.step = trainer.global_step

    def watches_step(self) -> bool:
        return self.step in self.steps

    def on_before_backward(self, trainer, pl_module, loss) -> None:
        self.seen += loss.requires_grad


def test_a_step_that_is_watched_runs_as_it_is_written(assert_same):
    *_, course = assert_same(lambda: [Onlooker((3, 4, 9))])
    assert StandIn.replayed == (FULL - 3 - 3) * PARTS
    assert len(course.losses) == 18


# where the inputs of a module need no gradients
@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize(
    "hang",
    [
        lambda module: module.network.recurrence.register_forward_hook(lambda *_: None),
        lambda module: module.network.head.register_full_backward_hook(lambda *_: None),
        lambda module: module.network.head.register_full_backward_pre_hook(lambda *_: None),
        lambda module: module.register_forward_pre_hook(lambda *_: None),
        lambda module: module.network.head.weight.register_hook(lambda gradient: 2 * gradient),
        lambda module: module.network.head.weight.register_post_accumulate_grad_hook(lambda weight: None),
        lambda module: register_module_forward_pre_hook(lambda *_: None),
        lambda module: register_module_forward_hook(lambda *_: None),
        lambda module: register_module_full_backward_pre_hook(lambda *_: None),
        lambda module: register_module_full_backward_hook(lambda *_: None),
    ],
)
def test_what_hangs_on_modules_and_weights_is_seen(assert_same, hang):
    """A hook exists from the second step of the second epoch to its end."""

    def make():
        handles = []
        start = lambda trainer, module, *_: trainer.global_step == 7 and handles.append(hang(module))  # noqa: E731
        end = lambda *_: [handles.pop().remove() for _ in [*handles]]  # noqa: E731
        return [LambdaCallback(on_train_batch_start=start, on_train_epoch_end=end)]

    assert_same(make)
    assert StandIn.replayed == (2 + 1 + 5) * PARTS


class FunctionsSeen(TorchFunctionMode):
    def __torch_function__(self, function, types, args=(), kwargs=None):
        return function(*args, **(kwargs or {}))


class OperationsSeen(TorchDispatchMode):
    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        return operation(*args, **(kwargs or {}))


@pytest.mark.parametrize("make", [FunctionsSeen, OperationsSeen, lambda: saved_tensors_hooks(lambda x: x, lambda x: x)])
def test_a_mode_sees_its_step(assert_same, make):
    def watch():
        mode = make()
        enter = lambda trainer, *_: trainer.global_step == 4 and mode.__enter__()  # noqa: E731
        leave = lambda trainer, *_: trainer.global_step == 5 and mode.__exit__(None, None, None)  # noqa: E731
        return [LambdaCallback(on_train_batch_start=enter, on_train_batch_end=leave)]

    assert_same(watch)
    assert StandIn.replayed == (FULL - 3 - 1) * PARTS


class TraceOfStep(Callback):
    """Traces one step."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.names: list[str] = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        if trainer.global_step == self.step:
            self.tracing = trace(pl_module.network)
            self.traced = self.tracing.__enter__()

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        if trainer.global_step == self.step + 1:
            self.tracing.__exit__(None, None, None)
            self.names = [*self.traced]


def test_a_trace_sees_its_step(assert_same):
    callbacks = []
    assert_same(lambda: callbacks.append(TraceOfStep(4)) or callbacks[-1:])
    assert "recurrence.hidden_l0" in callbacks[-1].names
    assert StandIn.replayed == (FULL - 3 - 1) * PARTS


def at_step(step: int, change) -> LambdaCallback:
    """Make a callback that changes something in the module before a step."""
    return LambdaCallback(
        on_train_batch_start=lambda trainer, module, *_: change(module) if trainer.global_step == step else None
    )


def more_dropout(module: SequenceModule) -> None:
    next(part for part in module.network.modules() if isinstance(part, nn.Dropout)).p = 0.7


def no_dropout(module: SequenceModule) -> None:
    next(part for part in module.network.modules() if isinstance(part, nn.Dropout)).eval()


def replace_statistics(module: SequenceModule) -> None:
    normalisation = next(part for part in module.network.modules() if isinstance(part, nn.BatchNorm2d))
    normalisation.running_mean = normalisation.running_mean + 1


def freeze(module: SequenceModule) -> None:
    module.network.head.requires_grad_(False)


def replace_weights(module: SequenceModule) -> None:
    module.network.head.weight.data = module.network.head.weight.data * 2


def set_weights(module: SequenceModule) -> None:
    with torch.no_grad():
        module.network.head.weight.mul_(2)


def read_metrics(module: SequenceModule) -> None:
    assert module.train_loss.compute().isfinite()


def reset_metrics(module: SequenceModule) -> None:
    module.train_loss.reset()
    module.train_metrics.reset()


@pytest.mark.parametrize(
    ("change", "captured"),
    [
        *((more_dropout, 2), (no_dropout, 2), (freeze, 2), (replace_weights, 2), (replace_statistics, 2)),
        *((set_weights, 1), (read_metrics, 1), (reset_metrics, 1)),
    ],
)
def test_what_a_callback_changes_takes_effect(assert_same, change, captured):
    assert_same(lambda: [at_step(8, change)])
    assert StandIn.captured == captured * PARTS
    assert StandIn.replayed == (FULL - 3) * PARTS


def drop_out(module: SequenceModule) -> None:
    module.network.head = nn.Sequential(nn.Dropout(0.7), module.network.head)


def double(module: SequenceModule) -> None:
    computed = module.network.head.forward
    module.network.head.forward = lambda features: 2 * computed(features)


def put_into_another(module: SequenceModule) -> None:
    module.network = nn.Sequential(module.network, nn.Tanh())


@pytest.mark.parametrize("change", [drop_out, double, put_into_another])
def test_what_a_network_gets_between_epochs_takes_effect(assert_same, change):
    assert_same(lambda: [at_step(5, change)])
    assert StandIn.captured == 2 * PARTS


class Squashed(Flatten):
    """Flat images through a nonlinearity, a part without weights or numbers."""

    def __init__(self) -> None:
        super().__init__(784)
        self.squash = nn.Tanh()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.squash(super().forward(inputs))


def squash_more(module: SequenceModule) -> None:
    module.network.encoder.module.squash = nn.Sigmoid()


def test_a_part_that_is_replaced_within_an_epoch_takes_effect(assert_same):
    assert_same(lambda: [at_step(8, squash_more)], module={"encoder": Squashed()})
    assert StandIn.captured == 2 * PARTS


class Tossed(Flatten):
    """Halves features by chance, as stochastic depth and scheduled sampling do."""

    def __init__(self, own: Any, draw: Callable[[Any], float]) -> None:
        super().__init__(784)
        self.own, self.draw = own, draw

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return super().forward(inputs) * (1.0 if self.draw(self.own) < 0.5 else 0.5)


@pytest.mark.parametrize(
    ("own", "draw"),
    [
        (None, lambda _: random.random()),
        (None, lambda _: np.random.rand()),  # noqa: NPY002  # users draw from it
        (random.Random(0), lambda own: own.random()),
        (np.random.default_rng(0), lambda own: own.random()),
    ],
)
def test_a_step_that_draws_on_the_host_is_no_graph(assert_same, own, draw):
    def seed(*_):
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002  # see above

    with pytest.warns(UserWarning, match="steps run without CUDA graphs.*random numbers are drawn on the host"):
        assert_same(lambda: [LambdaCallback(on_fit_start=seed)], module={"encoder": Tossed(own, draw)}, max_epochs=2)
    assert StandIn.replayed == 0


class Scaled(Flatten):
    """Scales features by an attribute that is no float."""

    def __init__(self, factor: Any) -> None:
        super().__init__(784)
        self.factor = factor

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        factors = self.factor.values() if isinstance(self.factor, dict) else [self.factor]
        return super().forward(inputs) * float(sum(sum(f) if isinstance(f, list | tuple) else f or 1 for f in factors))


def another(module: SequenceModule) -> None:
    """Change the attribute in each step from here on, in place where that can be."""
    part = module.network.encoder.module
    if isinstance(part.factor, list):
        part.factor[0] += 1
    elif isinstance(part.factor, dict):
        part.factor["a"] += 1
    else:
        part.factor = (2.0, 1.0) if isinstance(part.factor, tuple) else np.float64(3)


@pytest.mark.parametrize("factor", [np.float64(2), [1.0, 1.0], [np.float64(1)], {"a": 1}, (1, 1), None], ids=str)
def test_any_attribute_of_numbers_that_changes_takes_effect(assert_same, factor):
    assert_same(lambda: [at_step(8, another)], module={"encoder": Scaled(factor)})
    assert StandIn.captured == 2 * PARTS


class Weighted:
    """Reads an attribute of its own, which changes from epoch to epoch."""

    alpha = 1.0

    def on_train_epoch_start(self) -> None:
        self.alpha = 1.0 + self.trainer.current_epoch


class InForward(Weighted, SequenceModule):
    def forward(self, batch):
        return super().forward(batch) * self.alpha


class InLoss(Weighted, SequenceModule):
    def training_loss(self, batch):
        loss, terms = super().training_loss(batch)
        return loss * self.alpha, terms


class InStep(Weighted, SequenceModule):
    def _shared_step(self, batch, stage):
        loss, outputs = super()._shared_step(batch, stage)
        return loss * self.alpha, outputs


@pytest.mark.parametrize("kind", [InForward, InLoss, InStep])
def test_a_module_that_computes_in_another_way_is_no_graph(assert_same, kind):
    assert_same(module_class=kind, max_epochs=3)
    assert StandIn.captured == 0


def clip_more(module: SequenceModule) -> None:
    module.trainer.gradient_clip_val = 1e-3


def clip_values(module: SequenceModule) -> None:
    module.trainer.gradient_clip_algorithm = "value"


@pytest.mark.parametrize("change", [clip_more, clip_values])
def test_gradients_are_clipped_as_the_trainer_has_it_now(assert_same, change):
    """Steps run eagerly and are captured again, as for a new shape."""
    assert_same(lambda: [at_step(8, change)], gradient_clip_val=0.1)
    assert StandIn.captured == 2 * PARTS
    assert StandIn.replayed == (FULL - 3 - 3) * PARTS


class Accumulating(Callback):
    """Accumulates gradients from the third epoch on, as Lightning's scheduler does."""

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        trainer.accumulate_grad_batches = 1 if trainer.current_epoch < 2 else 2


def test_steps_over_several_batches_run_as_they_are_written(assert_same):
    assert_same(lambda: [Accumulating()])
    assert StandIn.replayed == (10 - 3) * PARTS


class Replaced(Callback):
    """Replaces the gradients that the graph computed."""

    def on_before_optimizer_step(self, trainer, pl_module, optimizer) -> None:
        if trainer.global_step > 6:
            weight = pl_module.network.head.weight
            weight.grad = weight.grad * 100


def test_gradients_that_were_replaced_are_clipped(assert_same):
    assert_same(lambda: [Replaced()])
    assert StandIn.replayed == (FULL - 3) * 2 + 3  # three steps as whole graphs, the others without the clipping


@pytest.mark.parametrize("make_callbacks", [lambda: [AveragedWeights(decay=0.9)], lambda: [Diagnosis(every_n_steps=7)]])
def test_our_callbacks_do_with_graphs_what_they_do_without(assert_same, make_callbacks):
    assert_same(make_callbacks)
    assert StandIn.replayed > 0


def test_a_diagnosis_looks_at_steps_that_run_as_they_are_written(train, stand_in):
    diagnosis = Diagnosis(every_n_steps=5)  # at 0, 1, 2, 4, 5, 10, 15; 5 is a shorter batch
    train(callbacks=[diagnosis])
    assert diagnosis.looked == 15
    assert StandIn.replayed == (FULL - 3 - 3) * PARTS


class Growing(DigitSums):
    """Digits with sequences of one digit in the first epoch, of two in the second, and so on."""

    def gather(self, batch: IndexBatch) -> Batch:
        return cropped(super().gather(batch), 1 + self.trainer.current_epoch)


class LongerAtTheEnd(DigitSums):
    """Digits where the last batch of each epoch has the longest sequences."""

    def gather(self, batch: IndexBatch) -> Batch:
        return cropped(super().gather(batch), 2 if len(batch.rows) == self.batch_size else 3)


class LongerOnce(DigitSums):
    """Digits where one batch in the middle of an epoch has the longest sequences."""

    def gather(self, batch: IndexBatch) -> Batch:
        return cropped(super().gather(batch), 3 if self.trainer.global_step == 8 else 2)


def cropped(batch: Batch, length: int) -> Batch:
    return batch._replace(inputs=batch.inputs[:, :length], targets=batch.targets[:, :length])


@pytest.mark.parametrize(
    ("data_class", "max_epochs", "captured"), [(Growing, 3, 3), (LongerAtTheEnd, 5, 3), (LongerOnce, 3, 2)]
)
def test_longer_sequences_than_ever_find_room_in_the_metrics(assert_same, data_class, max_epochs, captured):
    """Longer sequences come before or after shorter ones are captured; then the shorter ones are captured again."""
    assert_same(data_class=data_class, max_epochs=max_epochs)
    assert StandIn.captured == captured * PARTS


class EndsEpochs(SequenceModule):
    """Leaves out the fifth batch of each epoch, and all after it."""

    def on_train_batch_start(self, batch, batch_idx):
        super().on_train_batch_start(batch, batch_idx)
        return -1 if batch_idx == 4 else None


def test_a_batch_that_is_left_out_leaves_no_graph_to_the_next(assert_same):
    """The next one, of a new epoch, has longer sequences."""
    assert_same(data_class=Growing, module_class=EndsEpochs)
    assert StandIn.replayed == 3 * PARTS  # the fourth batch of each epoch


def test_a_copy_of_the_module_has_no_graphs(train, stand_in):
    copies = []

    class Copied(Callback):
        def on_train_epoch_end(self, trainer, pl_module) -> None:
            assert pl_module.graphs is not None
            copies.append(copy.deepcopy(pl_module.graphs))
            copies.append(pickle.loads(pickle.dumps(pl_module.graphs)))

    _, module, _ = train(callbacks=[Copied()])
    assert copies == [None] * 6
    assert module.graphs is None


def test_a_module_can_be_trained_again(assert_same, train, stand_in):
    trainer, module, _ = train(max_epochs=2)
    captured = StandIn.captured
    trainer.fit_loop.max_epochs = 4
    trainer.fit(module, trainer.datamodule)
    assert StandIn.captured == 2 * captured


def test_an_error_in_a_training_leaves_no_graphs_to_the_next(train, stand_in, mnist_root):
    data = DigitSums("mnist", str(mnist_root), sequence_length=3, batch_size=36)

    def fail(trainer, *_):
        assert trainer.global_step < 8

    module = SequenceModule(hidden_size=4, backend="bptt", encoder=ConvEncoder((2, 4)))
    trainer = Trainer(max_epochs=3, logger=False, enable_checkpointing=False)
    trainer.callbacks.append(LambdaCallback(on_train_batch_start=fail))
    with pytest.raises(AssertionError):
        trainer.fit(module, data)
    assert data.make_batch is not None
    module.cuda_graph = False
    trainer.callbacks.pop()
    found = []
    note = lambda *_: found.append(data.make_batch or module.graphs)  # noqa: E731
    trainer.callbacks.append(LambdaCallback(on_train_epoch_start=note))
    trainer.fit(module, data)
    assert set(found) == {None}
