"""A training stops at a NaN and names its place; its checkpoints are from before."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback
from torch import nn

from seqsum.cli import main
from seqsum.data.index_tables import IndexBatches
from seqsum.diagnosis import FiniteLoss
from seqsum.diagnosis.finite import Step
from seqsum.errors import NotFiniteError
from tests.cli.test_cli import SMALL, pytestmark  # noqa: F401  # the same filters of warnings

SPOIL = "--trainer.callbacks+=tests.diagnosis.test_finite."


class SpoilStep16(Callback):
    """Compute the second of 15 steps in the second epoch with infinite weights."""

    def on_train_batch_start(self, trainer, pl_module, *_):
        if trainer.global_step == 16:
            torch.nn.init.constant_(pl_module.network.head.weight, torch.inf)


class SpoilStep0(Callback):
    """Compute the first step with infinite weights."""

    def on_train_batch_start(self, trainer, pl_module, *_):
        torch.nn.init.constant_(pl_module.network.head.weight, torch.inf)


class SpoilStep12(Callback):
    """The thirteenth of 15 steps: on a GPU, the epoch ends before ten have gathered again."""

    def on_train_batch_start(self, trainer, pl_module, *_):
        if trainer.global_step == 12:
            torch.nn.init.constant_(pl_module.network.head.weight, torch.inf)


class SpoilUpdate29(Callback):
    """Make a weight NaN in the last update of the second epoch, after the last loss."""

    def on_train_batch_end(self, trainer, pl_module, *_):
        if trainer.global_step == 30:
            pl_module.network.head.bias.data.fill_(torch.nan)


class SpoilInput16(Callback):
    """Put a NaN image into the second batch of the second epoch."""

    def on_train_batch_start(self, trainer, pl_module, batch, *_):
        if trainer.global_step == 16:
            batch.inputs[3, 1] = torch.nan


@pytest.fixture
def spoilt(tmp_path, monkeypatch, capfd, mnist_root):
    monkeypatch.chdir(tmp_path)

    def run(name, *flags):
        with pytest.raises(SystemExit) as exit_:
            main(["fit", *SMALL, *flags, f"--data.root={mnist_root}", "--trainer.max_epochs=3", f"{SPOIL}{name}"])
        printed, error = capfd.readouterr()
        assert "Diagnosis" not in printed, "one fault is said twice"
        assert exit_.value.code == 2
        assert "Traceback" not in error
        return tmp_path / "logs/sum/version_0", error

    return run


def assert_good(checkpoint, steps):
    kept = torch.load(checkpoint, weights_only=True)
    assert kept["global_step"] == steps
    assert all(weight.isfinite().all() for weight in kept["state_dict"].values())


def test_a_nan_is_said_with_step_batch_and_checkpoint(spoilt):
    run, error = spoilt("SpoilStep16")
    assert "error: The loss is NaN or infinite at step 16 (epoch 2, batch 2), and the training stops." in error
    assert "Last good checkpoint: logs/sum/version_0/checkpoints/last.ckpt" in error
    assert (
        "First in network.head.weight: these weights have not been finite since the step before, though its loss was."
        in error
    )
    assert len(re.findall("NaN|infinite", error)) == 2, "one sentence says it"
    found = json.loads((run / "not_finite.json").read_text())
    sampler = IndexBatches("train", 600, (2, 2), 20, seed=0)
    sampler.set_epoch(1)
    rows = list(sampler)[1].rows.tolist()
    assert found == {"step": 16, "epoch": 2, "batch": 2, "rows": rows}
    shown = re.search(r"positions in the training split: (.*) and 12 more: (\S+)\.", error)
    assert shown[1] == ", ".join(map(str, rows[:8]))
    assert shown[2] == "logs/sum/version_0/not_finite.json"
    assert_good(run / "checkpoints/last.ckpt", steps=15)


def test_a_nan_in_a_step_that_is_looked_at_is_said_once(spoilt):
    _, error = spoilt("SpoilInput16", "--diagnosis.every_n_steps=1")
    assert "at step 16 (epoch 2, batch 2), and the training stops." in error
    assert "First in inputs: some of the inputs are not finite." in error


def test_before_the_first_update_no_learning_rate_is_to_blame(spoilt):
    _, error = spoilt("SpoilStep0")
    assert "at step 0 (epoch 1, batch 1), and the training stops." in error
    assert "last.ckpt. The batch, by" in error or "none. The batch, by" in error


@pytest.mark.parametrize(("own", "said"), [(None, "`--model.learning_rate`"), (torch.optim.SGD, "learning rate")])
def test_what_to_try_is_what_there_is(own, said):
    trainer = SimpleNamespace(checkpoint_callbacks=[], lightning_module=SimpleNamespace(optimizer=own))
    assert f"Try a smaller {said} or" in FiniteLoss()._way_back(trainer)


def test_without_a_folder_all_rows_are_listed(spoilt):
    run, error = spoilt("SpoilStep16", "--trainer.logger=false")
    assert error.count("[") >= 20
    assert "Last good checkpoint: none" in error
    assert not run.exists()


@pytest.mark.slow
def test_a_weight_that_is_nan_reaches_no_checkpoint(spoilt):
    run, error = spoilt("SpoilUpdate29")
    assert re.search(r"error: network.head.bias is NaN or infinite after step 29\. Last good .*last.ckpt", error)
    assert_good(run / "checkpoints/last.ckpt", steps=15)
    assert_good(run / "checkpoints/best.ckpt", steps=15)


class Elsewhere(torch.Tensor):
    """A loss that claims to be on a GPU."""

    is_cpu = False


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "place"), [("SpoilStep16", "16 (epoch 2, batch 2)"), ("SpoilStep12", "12 (epoch 1, batch 13)")]
)
def test_on_a_gpu_losses_are_asked_for_in_tens_and_the_first_bad_one_is_named(spoilt, monkeypatch, name, place):
    looked = []
    check = FiniteLoss._check_losses
    monkeypatch.setattr(FiniteLoss, "_check_losses", lambda *a: looked.append(len(a[0].recent)) or check(*a))
    end = FiniteLoss.on_train_batch_end

    def far(self, trainer, module, outputs, *rest):
        end(self, trainer, module, {"batch_loss": outputs["batch_loss"].as_subclass(Elsewhere)}, *rest)

    monkeypatch.setattr(FiniteLoss, "on_train_batch_end", far)
    _, error = spoilt(name)
    assert next(count for count in looked if count) == 10
    assert f"NaN or infinite at step {place}" in error


def test_the_first_step_that_is_not_finite_is_named():
    callback, trainer = (
        FiniteLoss(),
        SimpleNamespace(checkpoint_callbacks=[], lightning_module=SimpleNamespace(optimizer=None)),
    )
    callback.recent = [
        Step(step, 0, step, None, torch.tensor(loss)) for step, loss in enumerate((1.0, torch.nan, torch.nan))
    ]
    with pytest.raises(NotFiniteError, match="at step 1 "):
        callback._check_losses(trainer)


def test_the_next_training_knows_nothing_of_the_error_before():
    callback, trainer = (
        FiniteLoss(),
        SimpleNamespace(checkpoint_callbacks=[], lightning_module=SimpleNamespace(optimizer=None)),
    )
    callback.source = " First in network.head: it was."
    callback.recent = [Step(0, 0, 0, None, torch.tensor(torch.nan))]
    with pytest.raises(NotFiniteError, match=r"First in network\.head"):
        callback._check_losses(trainer)
    callback.on_fit_start(trainer, None)
    callback.on_save_checkpoint(trainer, nn.Linear(1, 1), {})
    callback.recent = [Step(0, 0, 0, None, torch.tensor(torch.nan))]
    with pytest.raises(NotFiniteError) as error:
        callback._check_losses(trainer)
    assert "First in" not in str(error.value)


def test_after_an_error_no_checkpoint_is_written_of_weights_that_are_still_finite():
    callback, trainer = (
        FiniteLoss(),
        SimpleNamespace(checkpoint_callbacks=[], lightning_module=SimpleNamespace(optimizer=None)),
    )
    callback.recent = [Step(0, 0, 0, None, torch.tensor(torch.inf))]
    for _ in range(2):  # Lightning writes some on errors too
        with pytest.raises(NotFiniteError, match="at step 0 "):
            callback.on_save_checkpoint(trainer, nn.Linear(1, 1), {})


@pytest.mark.parametrize("hook", ["on_validation_start", "on_train_epoch_end"])
def test_losses_are_checked_before_anything_follows_from_them(hook):
    callback, trainer = (
        FiniteLoss(),
        SimpleNamespace(checkpoint_callbacks=[], lightning_module=SimpleNamespace(optimizer=None)),
    )
    callback.recent = [Step(7, 0, 7, None, torch.tensor(torch.nan))]
    with pytest.raises(NotFiniteError, match="at step 7 "):
        getattr(callback, hook)(trainer, None)


def test_the_weight_that_is_not_finite_is_named():
    callback, trainer, layer = (
        FiniteLoss(),
        SimpleNamespace(checkpoint_callbacks=[], lightning_module=SimpleNamespace(optimizer=None)),
        nn.Linear(2, 2),
    )
    nn.init.constant_(layer.bias, torch.nan)
    with pytest.raises(NotFiniteError, match=r"^bias is NaN or infinite after step 0\."):
        callback.on_save_checkpoint(trainer, layer, {})
