"""A training, also a resumed one, is bit for bit the same for any order of callbacks."""

from __future__ import annotations

import random
import signal

import pytest
from lightning.pytorch import Callback

from seqsum.cli import main
from seqsum.cli.app import SeqsumCLI
from tests.resume.test_resume import EPOCHS, SMALL, assert_equal_ends, pytestmark, runs  # noqa: F401

EVERYTHING = [
    *SMALL, EPOCHS, "--trainer.val_check_interval=8", "--diagnosis.every_n_steps=1",
    "--tensorboard.histograms_every_n_epochs=1",
    "--trainer.callbacks+=seqsum.callbacks.AveragedWeights", "--trainer.callbacks.decay=0.5",
    "--trainer.callbacks+=lightning.pytorch.callbacks.EarlyStopping", "--trainer.callbacks.monitor=val/loss",
    "--trainer.callbacks+=lightning.pytorch.callbacks.ModelCheckpoint", "--trainer.callbacks.save_top_k=-1",
    "--trainer.callbacks.every_n_train_steps=7", "--trainer.callbacks.filename={step}",
]  # fmt: skip

REVERSED = "reversed"  # in which each two callbacks have changed places


class Interrupt(Callback):
    """Interrupt by Ctrl-C in the eleventh of fifteen batches."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if batch_idx == 10:
            signal.raise_signal(signal.SIGINT)


@pytest.fixture
def train(tmp_path, mnist_root, monkeypatch, capfd):
    """Run in a folder with the callbacks in random order; return the order."""

    def run(folder, seed, *arguments, added=()):
        orders = []
        make = SeqsumCLI._instantiate_trainer

        def shuffled(app, config, callbacks):
            everything = [*(config["callbacks"] or []), *callbacks, *(kind() for kind in added)]
            if seed == REVERSED:
                everything.reverse()
            elif seed is not None:
                random.Random(seed).shuffle(everything)
            trainer = make(app, {**config, "callbacks": []}, everything)
            orders.append([type(callback).__name__ for callback in trainer.callbacks])
            return trainer

        (tmp_path / folder).mkdir(exist_ok=True)
        with monkeypatch.context() as patch:
            patch.chdir(tmp_path / folder)
            patch.setattr(SeqsumCLI, "_instantiate_trainer", shuffled)
            try:
                main([*EVERYTHING, f"--data.root={mnist_root}", *arguments])
            except SystemExit as exit_:
                assert exit_.code == 1, capfd.readouterr().err  # noqa: PT017  # interrupted
        return orders[0]

    return run


@pytest.fixture(scope="module")
def made():
    """What `as_made` keeps."""
    return {}


@pytest.fixture
def as_made(train, tmp_path, made):
    """Train once with the callbacks in the order of the program; return the folder and the order."""
    if not made:
        made.update(order=train("as_made", None), folder=tmp_path / "as_made")
    return made["folder"], made["order"]


@pytest.mark.parametrize("seeds", [(REVERSED,), pytest.param((1, 2, 3), marks=pytest.mark.slow)], ids=["one", "three"])
def test_the_order_of_callbacks_changes_nothing(train, as_made, tmp_path, seeds):
    folder, order = as_made
    orders = {tuple(order)}
    for seed in seeds:
        orders.add(tuple(train(f"shuffled_{seed}", seed)))
        assert_equal_ends(folder, tmp_path / f"shuffled_{seed}")
    assert len(orders) == 1 + len(seeds)


@pytest.mark.slow
def test_an_interrupted_training_goes_on_in_another_order(train, as_made, tmp_path):
    train("shuffled", 1, added=[Interrupt])
    assert not (runs(tmp_path / "shuffled")[0] / "results.json").exists()
    train("shuffled", 2, "--ckpt_path=last")
    assert_equal_ends(as_made[0], tmp_path / "shuffled")
