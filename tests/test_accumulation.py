"""Gradients accumulated over several batches are those of one batch of all their rows."""

from __future__ import annotations

from functools import partial

import lightning.pytorch as pl
import pytest
import torch
from torch.utils.data import DataLoader

from seqsum.accumulation import Accumulation
from seqsum.data import Batch, SequenceData
from seqsum.module import SequenceModule
from seqsum.networks import Flatten, SequenceNetwork
from seqsum.recurrent import LSTM


class Rows(SequenceData):
    """Sequences of different lengths in batches of different sizes; the steps of one batch are all masked."""

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def train_dataloader(self):
        return DataLoader(self.batches, batch_size=None)

    val_dataloader = train_dataloader


def draw(seed):
    generator = torch.Generator().manual_seed(seed)
    batches = []
    for rows in torch.randint(1, 7, (8,), generator=generator).tolist():
        lengths = torch.randint(1, 10, (rows, 1), generator=generator)
        inputs = torch.randn(rows, 9, 3, generator=generator, dtype=torch.float64)
        batches.append(Batch(inputs, inputs.sum(-1).cumsum(1), torch.arange(9) < lengths))
    batches[2].mask[:] = False
    return batches


def joined(batches, sizes):
    """Put the batches together, so many at a time."""
    parts = [batches[sum(sizes[:k]) : sum(sizes[: k + 1])] for k in range(len(sizes))]
    return [
        Batch(*(torch.cat(tensors) for tensors in zip(*(part[:3] for part in each), strict=True))) for each in parts
    ]


class Penalised(SequenceModule):
    """Adds to the loss what depends on no batch."""

    def training_step(self, batch, batch_idx):
        found = super().training_step(batch, batch_idx)
        return found | {"loss": found["loss"] + 0.5 * self.network.head.weight.square().sum()}


class Twice(SequenceModule):
    """Has two losses in a step, which are the same."""

    def training_step(self, batch, batch_idx):
        one, other = (super(Twice, self).training_step(batch, batch_idx) for _ in range(2))
        return one | {"loss": (one["loss"] + other["loss"]) / 2}


def small_network():
    return SequenceNetwork(Flatten(3), LSTM(3, 5, batch_first=True), torch.nn.Linear(5, 1))


def train(batches, accumulate, kind=SequenceModule):
    """Return the gradients of every step, as callbacks see them, and the weights after two epochs."""
    torch.manual_seed(0)
    module = kind(small_network(), optimizer=partial(torch.optim.SGD, lr=0.1), schedule="constant").double()
    seen = []

    def note(trainer, module, optimizer):
        seen.append([parameter.grad.clone() for parameter in module.parameters()])

    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        precision="64-true",
        gradient_clip_val=0.5,
        accumulate_grad_batches=accumulate,
        callbacks=[pl.callbacks.LambdaCallback(on_before_optimizer_step=note)],
        **quiet,
    )
    trainer.fit(module, datamodule=Rows(batches))
    return seen, [parameter.detach() for parameter in module.parameters()]


@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", [SequenceModule, Penalised, Twice])
@pytest.mark.parametrize("accumulate", [2, 3, 20])  # the last step of an epoch has two batches of three, or eight of 20
def test_several_batches_give_the_gradients_of_one_of_all_their_rows(seed, kind, accumulate):
    batches = draw(seed)
    sizes = [accumulate] * (8 // accumulate) + [8 % accumulate] * (8 % accumulate > 0)
    found, expected = train(batches, accumulate, kind), train(joined(batches, sizes), 1, kind)
    assert len(found[0]) == 2 * len(sizes)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)  # the loss is of float32


class Skipping(SequenceModule):
    """Leaves out a batch, as Lightning lets a step do by returning nothing."""

    left_out = -1

    def training_step(self, batch, batch_idx):
        found = super().training_step(batch, batch_idx)
        return None if batch_idx == self.left_out else found


@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
@pytest.mark.filterwarnings("ignore:`training_step` returned `None`")
@pytest.mark.parametrize("left_out", range(8))  # of steps of three, three and two batches
def test_a_batch_that_is_left_out_changes_no_other_batchs_weight(left_out):
    batches = draw(0)
    kept = [[batch for k, batch in enumerate(batches) if k // 3 == step and k != left_out] for step in range(3)]
    wholes = [joined(part, [len(part)])[0] for part in kept]
    kind = type("Left", (Skipping,), {"left_out": left_out})
    torch.testing.assert_close(train(batches, 3, kind), train(wholes, 1), rtol=1e-4, atol=1e-7)


@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
def test_a_training_that_ended_within_a_step_leaves_nothing_for_the_next():
    def stop(trainer, module, batch, batch_idx):
        if batch_idx == 1:
            raise ValueError("within a step")

    optimizer = partial(torch.optim.SGD, lr=0.0)
    module = SequenceModule(small_network(), optimizer=optimizer, schedule="constant").double()
    batches, seen = draw(0), []

    def fit(*callbacks):
        note = pl.callbacks.LambdaCallback(
            on_before_optimizer_step=lambda *_: seen.append(module.network.head.bias.grad.clone())
        )
        options = {"max_epochs": 1, "accumulate_grad_batches": 3, "logger": False, "enable_checkpointing": False}
        options["precision"] = "64-true"
        trainer = pl.Trainer(accelerator="cpu", enable_progress_bar=False, callbacks=[note, *callbacks], **options)
        trainer.fit(module, datamodule=Rows(batches))

    with pytest.raises(ValueError, match="within a step"):
        fit(pl.callbacks.LambdaCallback(on_train_batch_start=stop))
    fit()
    first = len(seen)
    fit()
    torch.testing.assert_close(seen[:first], seen[first:], rtol=0, atol=0)


def test_batches_with_as_many_terms_keep_every_bit():
    accumulation, weights = Accumulation(), []
    parameter = torch.nn.Parameter(torch.zeros(3))
    for _ in range(3):
        accumulation.count(torch.tensor(7))
        weights.append(accumulation.weigh(torch.tensor(1.0)))
    parameter.grad = torch.randn(3)
    before = parameter.grad.clone()
    accumulation.finish([parameter], 3)
    assert weights == [1, 1, 1]
    assert torch.equal(parameter.grad, before)


def test_a_step_of_several_losses_has_the_terms_of_all_and_one_of_none_stays_zero():
    accumulation, parameter = Accumulation(), torch.nn.Parameter(torch.zeros(3))
    weights = []
    for terms in ((2, 6), (8,)):
        for each in terms:
            accumulation.count(torch.tensor(each))
        weights.append(accumulation.weigh(torch.tensor(1.0)))
    assert weights == [1, 1]
    accumulation = Accumulation()
    for _ in range(2):
        accumulation.count(torch.tensor(0))
        assert accumulation.weigh(torch.tensor(1.0)) == 0
    parameter.grad = torch.zeros(3)
    accumulation.finish([parameter], 2)
    assert torch.equal(parameter.grad, torch.zeros(3))
