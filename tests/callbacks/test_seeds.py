"""Random numbers depend on the current step alone."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch.utils.data import DataLoader

from seqsum.callbacks import seeds
from seqsum.callbacks.seeds import Seeds, seed_generators
from seqsum.data import SequenceData, unlabelled
from seqsum.module import SequenceModule
from seqsum.networks import Flatten
from seqsum.objectives import NextSample
from tests.resume.own_loaders import Own


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_the_generator_starts_where_torch_would_start_it(device):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.rand(7)
    seed_generators(5, torch.device(device))
    assert torch.equal(torch.rand(3), expected)


def test_devices_that_are_not_in_use_are_left_alone(monkeypatch):
    """torch would record a traceback for each of them at every step."""
    monkeypatch.setattr("torch.manual_seed", None)
    seed_generators(5, torch.device("cpu"))


def test_each_step_of_each_epoch_and_process_draws_other_numbers():
    drawn = set()
    for rank, epoch, step in itertools.product(range(2), range(3), range(3)):
        strategy = SimpleNamespace(root_device=torch.device("cpu"))
        trainer = SimpleNamespace(global_rank=rank, current_epoch=epoch, strategy=strategy)
        Seeds(0).on_train_batch_start(trainer, None, None, step)
        drawn.add(torch.rand(1).item())
    assert len(drawn) == 18


def test_evaluations_draw_the_same_numbers_after_every_epoch():
    drawn = set()
    for epoch in range(3):
        strategy = SimpleNamespace(root_device=torch.device("cpu"))
        trainer = SimpleNamespace(global_rank=0, current_epoch=epoch, strategy=strategy)
        for start in (Seeds(0).on_validation_epoch_start, Seeds(0).on_test_epoch_start):
            start(trainer, None)
            drawn.add(torch.rand(1).item())
    assert len(drawn) == 1


class Shuffled(SequenceData):
    """Data of a user's own, from an ordinary shuffling loader."""

    dataset = "numbers"

    def train_dataloader(self):
        return DataLoader(torch.arange(40.0), shuffle=True, batch_size=8, collate_fn=_collate)

    def val_dataloader(self):
        return DataLoader(torch.arange(8.0), batch_size=8, collate_fn=_collate)


def _collate(rows):
    numbers = torch.stack(rows)
    return unlabelled(numbers.view(-1, 1, 1))._replace(targets=numbers.view(-1, 1))


class Order(Callback):
    """Keep the numbers of each epoch in their order."""

    def __init__(self):
        self.seen = {}

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.seen.setdefault(trainer.current_epoch, []).extend(batch.targets.flatten().tolist())


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.filterwarnings("ignore:.*smaller than the logging interval")
def test_a_loader_of_ones_own_shuffles_anew_in_each_epoch_and_the_same_after_a_resumption(tmp_path):
    def train(epochs, checkpoint=None):
        order = Order()
        module = SequenceModule(hidden_size=4, encoder=Flatten(1), schedule="constant", objective=NextSample())
        trainer = Trainer(
            accelerator="cpu", max_epochs=epochs, callbacks=[Seeds(0), order], default_root_dir=tmp_path, logger=False,
            enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        )  # fmt: skip
        torch.manual_seed(epochs)  # whatever ran before
        trainer.fit(module, Shuffled(), ckpt_path=checkpoint)
        trainer.save_checkpoint(tmp_path / "end.ckpt")
        return order.seen

    whole = train(4)
    assert all(sorted(numbers) == list(range(40)) for numbers in whole.values())
    assert len({tuple(numbers) for numbers in whole.values()}) == 4
    train(2)
    assert train(4, tmp_path / "end.ckpt") == {epoch: whole[epoch] for epoch in (2, 3)}


class Inputs(Callback):
    """Keep what was read."""

    def __init__(self):
        self.read = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.read.append(batch.inputs)


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.filterwarnings("ignore:.*smaller than the logging interval")
@pytest.mark.parametrize("kind", ["rows", "stream"])
def test_what_a_loader_draws_for_a_batch_depends_on_no_validation_before_it(tmp_path, kind):
    found = []
    for validation in ({"val_check_interval": 3}, {"limit_val_batches": 0}):
        inputs = Inputs()
        trainer = Trainer(
            **validation, accelerator="cpu", max_epochs=2, callbacks=[Seeds(0), inputs], default_root_dir=tmp_path,
            logger=False, enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        )  # fmt: skip
        trainer.fit(SequenceModule(hidden_size=4, encoder=Flatten(3), schedule="constant"), Own(kind))
        found.append(torch.cat(inputs.read))
    assert torch.equal(*found)


def test_a_loader_of_ones_own_has_another_order_in_each_epoch(monkeypatch):
    monkeypatch.setattr(seeds, "begin_again", lambda _: None)
    generator = torch.Generator().manual_seed(5)
    loader = DataLoader(range(50), batch_size=None, shuffle=True, generator=generator)
    trainer = SimpleNamespace(
        train_dataloader=loader,
        current_epoch=0,
        callbacks=[],
        global_rank=0,
        strategy=SimpleNamespace(root_device=torch.device("cpu")),
    )
    callback, orders = Seeds(1), []
    callback.on_train_start(trainer, None)
    for trainer.current_epoch in (0, 1, 0):
        callback.on_train_epoch_start(trainer, None)
        orders.append([int(number) for number in loader])
    assert orders[0] == orders[2] != orders[1]
