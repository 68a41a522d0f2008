"""Lightning's features that change loaders, optimizer or callbacks work, or are refused at once in one line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
import yaml
from jsonargparse import Namespace
from lightning.pytorch import Callback
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.plugins.precision import DoublePrecision
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from seqsum.callbacks import TestReport
from seqsum.cli import main
from seqsum.cli.callbacks import of_every_run
from seqsum.cli.run import seed_of
from seqsum.cli.trainer import Wanted, arguments_of
from seqsum.resume.checkpoint_files import CheckpointFiles
from tests.cli.test_cli import SMALL, pytestmark, refused  # noqa: F401  # the same filters of warnings

LIGHTNING = "--trainer.callbacks+=lightning.pytorch.callbacks."
HERE = "--trainer.callbacks+=tests.cli.test_lightning_features."
CONSTANT = "--model.schedule=constant"
NO_BAR = "--trainer.enable_progress_bar=false"


class Seen(Callback):
    """Record the rows of the batches, the learning rates and the sizes of the current training."""

    rows, rates, sizes = [], [], []  # of one training after the other

    def on_train_start(self, *_):
        for kept in (self.rows, self.rates, self.sizes):
            kept.clear()

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.rows.append(batch.rows.tolist())
        self.sizes.append(len(batch.rows))
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])


class Logs(Callback):
    """Log its own metric after each epoch."""

    def on_train_epoch_end(self, trainer, pl_module):
        pl_module.log("mine", 1.0)


class Shade(str, Enum):
    DARK = "dark"


class Defaults(Callback):
    """Has defaults of many types, of which YAML has no name for most."""

    made: ClassVar = []  # arguments of one training after the other

    def __init__(
        self,
        untyped=object,  # a class, which has a name
        shade: str = Shade.DARK,
        device: torch.device = torch.device("cpu"),  # noqa: B008
        dtype: torch.dtype = torch.float32,
        cell: torch.nn.Module = torch.nn.Identity(),  # noqa: B008
        several: Sequence = (Shade.DARK, torch.Generator()),
        anything: Any = ...,
        count: int = 3,
    ):
        self.made.append((untyped, shade, device, dtype, cell, several, anything, count))


class Misconfigured(Callback):
    """Raise an error for a user's mistake during the training."""

    def on_train_epoch_end(self, *_):
        raise MisconfigurationException("this can't be")


@pytest.fixture
def fit(here, mnist_root):
    def run(*flags, epochs=2):
        main(
            [
                "fit",
                *SMALL,
                f"--data.root={mnist_root}",
                f"--trainer.max_epochs={epochs}",
                "--trainer.log_every_n_steps=1",
                *flags,
            ]
        )
        return here / "logs/sum/version_0"

    return run


@pytest.fixture
def refuse(here, mnist_root, capfd):
    def run(flags, *messages):
        error = refused(["fit", *SMALL, f"--data.root={mnist_root}", *flags], capfd, *messages)
        assert error.count("\n") == 1, error
        assert list(here.iterdir()) == []

    return run


@pytest.mark.parametrize(("flag", "batches"), [("3", 3), ("0.2", 3)])
def test_overfit_batches_repeats_the_same_batches(fit, flag, batches):
    fit(f"{HERE}Seen", f"--trainer.overfit_batches={flag}")
    assert len(Seen.rows) == 2 * batches
    assert Seen.rows[:batches] == Seen.rows[batches:]
    assert Seen.rows[0] != Seen.rows[1]


def test_without_it_epochs_differ(fit):
    fit(f"{HERE}Seen", "--trainer.limit_train_batches=3")
    assert Seen.rows[:3] != Seen.rows[3:]


@pytest.mark.parametrize("bar", ["TQDMProgressBar", "RichProgressBar"])
def test_a_progress_bar_of_the_users_own_is_the_only_one(fit, capfd, bar):
    fit(f"{LIGHTNING}{bar}", "--trainer.enable_progress_bar=true", "--trainer.limit_train_batches=2", epochs=1)
    assert "v_num" in capfd.readouterr().out, "which this program's own bar leaves out"


def test_a_checkpoint_callback_of_the_users_own_works_in_training_and_test(fit, here, capfd):
    own = ["--trainer.callbacks.filename=mine", "--trainer.callbacks.dirpath=kept"]
    run = fit(f"{LIGHTNING}ModelCheckpoint", *own, "--trainer.limit_train_batches=2", epochs=1)
    assert (here / "kept/mine.ckpt").is_file()
    main(["test", "-c", str(run / "config.yaml"), f"--ckpt_path={run / 'checkpoints/last.ckpt'}"])
    assert (here / "logs/sum-test/version_0/results.json").is_file()


def test_a_checkpoint_callback_needs_a_folder_or_has_one(fit, here, refuse):
    flags = [f"{LIGHTNING}ModelCheckpoint", "--trainer.logger=false"]
    refuse(flags, "ModelCheckpoint needs a `dirpath`")
    fit(*flags, "--trainer.callbacks.dirpath=kept", "--trainer.limit_train_batches=2", epochs=1)
    assert [path.name for path in here.iterdir()] == ["kept"]


class Written(TorchCheckpointIO):
    """Record the names of the checkpoints that are written."""

    names: ClassVar = set()

    def save_checkpoint(self, checkpoint, path, storage_options=None):
        self.names.add(Path(path).name)
        super().save_checkpoint(checkpoint, path, storage_options)


@pytest.mark.parametrize("writes", [False, True])
def test_plugins_of_the_users_own_are_used(fit, writes):
    Written.names.clear()
    plugins = ["lightning.pytorch.plugins.precision.DoublePrecision", *([f"{__name__}.Written"] if writes else [])]
    flags = [f"--trainer.plugins+={plugin}" for plugin in plugins]
    run = fit(*flags, "--trainer.limit_train_batches=2", epochs=1)
    assert Written.names == ({"last.ckpt", "best.ckpt"} if writes else set())
    kept = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert kept["network.head.weight"].dtype == torch.float64


@pytest.mark.parametrize(("plugins", "are_ours"), [(None, True), ([DoublePrecision()], True), ([Written()], False)])
def test_checkpoints_are_written_by_the_program_unless_a_plugin_does(plugins, are_ours):
    settings, ours = Namespace(plugins=plugins), CheckpointFiles()
    changed = arguments_of(settings, Wanted([], True, False, True, True, True), "fit", ours)
    assert (ours in changed.get("plugins", [])) == are_ours


def test_predictions_are_made_on_one_device_of_one_node():
    settings = Namespace(devices="2,3", num_nodes=2, plugins=None)
    changed = arguments_of(settings, Wanted([], True, False, True, True, True), "predict", CheckpointFiles())
    assert (changed["devices"], changed["num_nodes"]) == ([2], 1)


class Nowhere(DummyLogger):
    """A logger without a folder, which is Lightning's default."""

    save_dir = None


def test_a_logger_without_a_folder_trains_and_leaves_nothing(fit, here, capfd):
    fit(f"--trainer.logger={__name__}.Nowhere", "--trainer.limit_train_batches=2", epochs=1)
    assert "epoch 1/1" in capfd.readouterr().out
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("kind", ["CSVLogger", "TensorBoardLogger"])
def test_a_loggers_folder_that_has_a_run_is_refused_and_left_as_it_is(fit, here, capfd, kind):
    flags = [f"--trainer.logger={kind}", "--trainer.logger.save_dir=own", "--trainer.logger.version=0"]
    fit(*flags, "--trainer.limit_train_batches=2", epochs=1)
    files = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    assert len(files) > 3
    capfd.readouterr()
    with pytest.raises(SystemExit):
        fit(*flags, "--trainer.limit_train_batches=2", epochs=1)
    error = capfd.readouterr().err
    # `0` may be parsed as a text or as a number: Python's types of either have no order
    assert re.search(r"`--trainer.logger`: own/lightning_logs/(version_)?0 has a run already", error)
    assert "Traceback" not in error
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == files


@pytest.mark.filterwarnings("ignore:You are trying to `self.log")
def test_barebones_trains_and_leaves_nothing(here, mnist_root, capfd):
    small = [flag for flag in SMALL if not flag.startswith(("--trainer.log_every", "--trainer.enable_progress"))]
    main([*small, f"--data.root={mnist_root}", "--trainer.max_epochs=1", "--trainer.barebones=true"])
    assert "epoch 1/1" in capfd.readouterr().out
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("finder", ["LearningRateFinder", "BatchSizeFinder", "GradientAccumulationScheduler"])
def test_what_changes_the_training_needs_a_schedule_that_can_change(refuse, finder):
    steps = ["--trainer.callbacks.scheduling={1: 2}"] if finder == "GradientAccumulationScheduler" else []
    refuse([f"{LIGHTNING}{finder}", *steps], rf"{finder} .* needs `--model.schedule=constant`, not 'one_cycle'")


def test_the_learning_rate_that_is_found_is_trained_with(fit):
    run = fit(f"{LIGHTNING}LearningRateFinder", "--trainer.callbacks.num_training_steps=20", f"{HERE}Seen", CONSTANT)
    (rate,) = set(Seen.rates)
    assert rate != 5e-3
    assert len(Seen.rates) == 30
    kept = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    assert kept["hyper_parameters"]["learning_rate"] == rate


def test_no_rate_is_looked_for_where_the_optimizer_is_ones_own(refuse):
    own = ["--model.optimizer=SGD", "--model.optimizer.lr=0.1", CONSTANT]
    refuse([f"{LIGHTNING}LearningRateFinder", *own], "finds the rate of the default optimizer, not of your own")


def test_a_training_that_goes_on_does_not_search_again(fit):
    flags = [f"{LIGHTNING}LearningRateFinder", "--trainer.callbacks.num_training_steps=20", f"{HERE}Seen", CONSTANT]
    run = fit(*flags, epochs=1)
    (rate,), steps = set(Seen.rates), len(Seen.rates)
    Seen.rates.clear()
    main(["fit", f"--ckpt_path={run / 'checkpoints/last.ckpt'}", "--trainer.max_epochs=2"])
    assert (set(Seen.rates), len(Seen.rates)) == ({rate}, steps), "the second epoch alone"


@pytest.mark.slow
def test_the_batch_size_that_is_found_is_trained_with(fit):
    fit(f"{LIGHTNING}BatchSizeFinder", "--trainer.callbacks.max_trials=3", f"{HERE}Seen", CONSTANT)
    assert Seen.sizes[0] != 20
    assert sum(Seen.sizes) == 2 * 300


@pytest.mark.parametrize("callback", ["EarlyStopping", "ModelCheckpoint"])
def test_a_metric_is_not_waited_for_in_the_wrong_direction(refuse, callback):
    flags = [f"{LIGHTNING}{callback}", "--trainer.callbacks.monitor=val/exact_final"]
    refuse(flags, rf"{callback}'s `mode` \(='min'\) must be 'max' for val/exact_final, which is to rise")
    flags = [f"{LIGHTNING}{callback}", "--trainer.callbacks.monitor=val/loss", "--trainer.callbacks.mode=max"]
    refuse(flags, rf"{callback}'s `mode` \(='max'\) must be 'min' for val/loss, which is to fall")


def test_a_training_that_stops_early_says_why(fit, capfd):
    stops = ["--trainer.callbacks.monitor=val/exact_final", "--trainer.callbacks.mode=max"]
    fit(f"{LIGHTNING}EarlyStopping", *stops, "--trainer.callbacks.stopping_threshold=-1", epochs=3)
    printed = capfd.readouterr().out
    assert "epoch 2/3" not in printed
    assert "Stopped by EarlyStopping: Stopping threshold reached: val/exact_final = " in printed


@pytest.mark.parametrize("callback", ["EarlyStopping", "ModelCheckpoint"])
def test_a_monitor_that_nothing_logs_is_refused(refuse, callback):
    flags = [f"{LIGHTNING}{callback}", "--trainer.callbacks.monitor=val_loss"]
    refuse(flags, rf"{callback}'s `monitor` \(='val_loss'\) must be one of val/loss, .*val/exact_final")


@pytest.mark.parametrize(
    "monitor",
    [
        "val/loss",
        pytest.param("train/exact_step", marks=pytest.mark.slow),
        "val_by_step/mae_t2",
        "train/images_per_second",
    ],
)
def test_every_monitor_that_is_logged_is_taken(fit, monitor):
    flags = [f"{LIGHTNING}EarlyStopping", f"--trainer.callbacks.monitor={monitor}", "--trainer.limit_train_batches=2"]
    assert fit(*flags, epochs=1).is_dir()


def test_what_a_callback_of_the_users_own_logs_is_a_monitor(fit):
    flags = [f"{LIGHTNING}EarlyStopping", "--trainer.callbacks.monitor=mine", "--trainer.limit_train_batches=2"]
    assert fit(f"{HERE}Logs", *flags, epochs=1).is_dir()


def test_a_monitor_that_no_callback_logged_either_is_one_line(fit, capfd):
    flags = [f"{LIGHTNING}EarlyStopping", "--trainer.callbacks.monitor=nobody", "--trainer.limit_train_batches=2"]
    with pytest.raises(SystemExit) as exit_:
        fit(f"{HERE}Logs", *flags, epochs=1)
    assert exit_.value.code == 2
    printed = capfd.readouterr().err
    assert "error: Early stopping conditioned on metric `nobody`" in printed
    assert "Traceback" not in printed


def test_what_lightning_refuses_in_the_training_is_one_line(fit, capfd):
    with pytest.raises(SystemExit):
        fit(f"{HERE}Misconfigured", "--trainer.limit_train_batches=2")
    assert capfd.readouterr().err.endswith("error: this can't be\n")


@pytest.mark.filterwarnings("ignore:No seed found, seed set to 0")
@pytest.mark.parametrize(("given", "seed"), [("true", 0), ("7", 7)])
def test_seed_everything_may_be_true(fit, monkeypatch, given, seed):
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    run = fit(f"--seed_everything={given}", "--trainer.limit_train_batches=2", epochs=1)
    settings = yaml.safe_load((run / "config.yaml").read_text())
    assert settings["seed_everything"] == seed


def test_the_seed_that_lightning_would_take_is_that_of_the_data_too(monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "5")
    assert [seed_of(given) for given in (True, False, None, 3)] == [5, 0, 0, 3]


@pytest.mark.parametrize(("given", "reported"), [(0, 0), (3, 3), (True, 5), (False, None), (None, None)])
def test_a_run_without_a_seed_reports_none(monkeypatch, given, reported):
    monkeypatch.setenv("PL_GLOBAL_SEED", "5")
    settings = Namespace(seed_everything=given, experiment="sum")
    (report,) = [one for one in of_every_run("sum", settings, "") if isinstance(one, TestReport)]
    assert report.seed == reported


@pytest.mark.parametrize(
    "flags",
    [
        [f"{LIGHTNING}Timer", "--trainer.callbacks.duration=00:01:00:00"],
        pytest.param(
            [f"{LIGHTNING}StochasticWeightAveraging", "--trainer.callbacks.swa_lrs=0.01", CONSTANT],
            marks=pytest.mark.skipif(torch.__version__ < (2, 11), reason="torch 2.8 can't load what it saves"),
        ),
        [f"{HERE}Defaults", "--trainer.callbacks.count=4"],
    ],
)
def test_a_class_whose_defaults_are_objects_is_written_and_read_again(fit, flags):
    """From the run's file, not from the flags."""
    Defaults.made.clear()
    folder = fit(*flags, "--trainer.limit_train_batches=2", epochs=2)
    assert "Unable to serialize" not in (folder / "config.yaml").read_text()
    fit("--trainer.limit_train_batches=2", "--ckpt_path=last", epochs=3)
    for _, shade, device, dtype, cell, several, anything, count in Defaults.made:
        assert (shade, device, dtype, anything) == ("dark", torch.device("cpu"), torch.float32, ...)
        assert isinstance(cell, torch.nn.Identity)
        assert isinstance(several[1], torch.Generator)
        assert count == 4
    written = yaml.safe_load((folder.parent / "version_1/config.yaml").read_text())["trainer"]["callbacks"]
    assert written == yaml.safe_load((folder / "config.yaml").read_text())["trainer"]["callbacks"]
