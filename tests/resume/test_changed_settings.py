"""What a training that goes on does with settings that its command changes: it follows them, or refuses in words."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from torch.optim.lr_scheduler import StepLR

from seqsum.callbacks import AveragedWeights
from seqsum.cli.settings import _appended, _leave_out_appended
from seqsum.errors import InputError
from seqsum.resumed import RATES, check_averages, check_kept, follow_rates
from tests.resume.from_steps import trainer_of
from tests.resume.test_resume_own_loaders import FLAGS, ROWS, read_csv

ADAMW = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.1, "eps": 1e-8}}
CHECKPOINT = "--ckpt_path=begun/small/version_0/checkpoints/step=7.ckpt"


@pytest.fixture
def train(here):
    return trainer_of(here, [*FLAGS, ROWS], every=7)


@pytest.mark.parametrize("schedule", ["constant", "one_cycle"])
def test_rates_of_the_command_are_those_that_it_goes_on_with(train, schedule, caplog):
    common = [f"--model.schedule={schedule}", "--trainer.max_epochs=4"]
    train("begun", *common, "--model.learning_rate=0.004")
    rates = ["--model.learning_rate=0.001", "--model.weight_decay=0.3"]
    resumed = train("resumed", CHECKPOINT, *common, *rates)
    assert "`--model.learning_rate`: the training was begun with 0.004, and goes on with 0.001." in caplog.messages
    whole = train("whole", *common, *rates)
    for ours, theirs in zip(*(found["optimizer_states"][0]["param_groups"] for found in (resumed, whole)), strict=True):
        assert ours.keys() == theirs.keys()
        assert [ours[name] for name in RATES if name in ours] == pytest.approx(
            [theirs[name] for name in RATES if name in ours], rel=1e-12
        )
        assert ours["weight_decay"] == theirs["weight_decay"]
    logged, again = (read_csv(f"{folder}/small/version_0/metrics.csv") for folder in ("whole", "resumed"))
    last = -len(again["train/learning_rate"])
    assert [*map(float, again["train/learning_rate"])] == pytest.approx(
        [*map(float, logged["train/learning_rate"][last:])], rel=1e-6
    )


def test_each_group_follows_its_own_rate():
    groups = [{"lr": 1.0, "weight_decay": decay} for decay in (0.1, 0.0, 0.1, 0.0)]
    before = {"learning_rate": 1.0, "encoder_learning_rate": 1.0, "weight_decay": 0.1}
    follow_rates(groups, before, before | {"encoder_learning_rate": 0.5, "weight_decay": 0.2, "schedule": "constant"})
    assert groups == [{"lr": rate, "weight_decay": decay} for rate in (1.0, 0.5) for decay in (0.2, 0.0)]


def test_matrices_alone_begin_to_decay():
    groups = [{"lr": 1.0, "weight_decay": 0.0} for _ in range(4)]
    before = {"learning_rate": 1.0, "encoder_learning_rate": 1.0, "weight_decay": 0.0}
    follow_rates(groups, before, before | {"weight_decay": 0.2, "schedule": "constant"})
    assert [group["weight_decay"] for group in groups] == [0.2, 0.0, 0.2, 0.0]


def test_a_rate_that_a_schedule_of_ones_own_began_with_is_kept():
    now = {"learning_rate": 0.5, "encoder_learning_rate": None, "weight_decay": 0.1, "schedule": StepLR}
    with pytest.raises(InputError, match=r"`--model.learning_rate` \(=0.5\) can't be changed .* begun with 1.0"):
        follow_rates([], {"learning_rate": 1.0}, now)


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (None, ADAMW, r"\(=AdamW\(lr=0.1, eps=1e-08\)\) can't be changed .* begun with the default, "),
        (ADAMW, None, r"\(=the default\) can't be changed .* begun with AdamW\(lr=0.1, eps=1e-08\), "),
        (ADAMW, {**ADAMW, "class_path": "torch.optim.SGD"}, r"\(=SGD\("),
        (ADAMW, {**ADAMW, "init_args": {"lr": 0.2}}, r"\(=AdamW\(lr=0.2\)\)"),
        (ADAMW, {**ADAMW, "init_args": {"lr": 0.1, "fused": None}}, None),  # of another version of torch
        (ADAMW, {**ADAMW, "class_path": "AdamW"}, None),
        ("one_cycle", "one_cycle", None),
    ],
)
def test_optimizer_and_schedule_are_kept(before, now, said):
    check_kept("optimizer", {}, {"optimizer": now})  # one made in Python is not known
    if said is None:
        check_kept("optimizer", {"optimizer": before}, {"optimizer": now})
    else:
        with pytest.raises(InputError, match=f"^`--model.optimizer` {said}"):
            check_kept("optimizer", {"optimizer": before}, {"optimizer": now})


def test_another_optimizer_is_refused_in_a_line(train, capfd):
    train("begun")
    with pytest.raises(SystemExit):
        train("resumed", CHECKPOINT, "--model.optimizer=SGD", "--model.optimizer.lr=0.1")
    assert "error: `--model.optimizer` (=SGD(" in capfd.readouterr().err


def test_a_training_that_stopped_early_goes_on_with_more_patience(train):
    stopping = ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val/loss"]
    stopping += ["--trainer.callbacks.min_delta=100", "--trainer.max_epochs=9"]
    assert train("begun", *stopping, "--trainer.callbacks.patience=1")["epoch"] == 2
    last = "--ckpt_path=begun/small/version_0/checkpoints/last.ckpt"
    assert train("resumed", *stopping, "--trainer.callbacks.patience=4", last)["epoch"] == 5


@pytest.mark.parametrize("step", [5, 15, 20])
@pytest.mark.parametrize(
    "change",
    ["--trainer.limit_train_batches=5", "--trainer.accumulate_grad_batches=3", "--data.batch_size=5"],
)
def test_the_schedule_ends_with_a_training_that_goes_on_with_other_batches(here, change, step):
    train, epochs = trainer_of(here, [*FLAGS, ROWS], every=5), "--trainer.max_epochs=3"
    assert train("begun", epochs)["global_step"] == 21
    resumed = train("resumed", epochs, f"--ckpt_path=begun/small/version_0/checkpoints/step={step}.ckpt", change)
    (schedule,) = resumed["lr_schedulers"]
    assert schedule["last_epoch"] == resumed["global_step"] == schedule["total_steps"]


def test_a_training_that_stopped_early_is_finished(train, capfd):
    stopping = ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val/loss"]
    stopping += ["--trainer.callbacks.min_delta=100", "--trainer.max_epochs=9", "--trainer.callbacks.patience=1"]
    begun = train("begun", *stopping)
    for _ in range(2):
        capfd.readouterr()
        resumed = train("resumed", *stopping, "--ckpt_path=begun/small/version_0/checkpoints/last.ckpt")
        assert resumed["epoch"] == begun["epoch"]
        assert all(map(torch.equal, resumed["state_dict"].values(), begun["state_dict"].values()))
        said = " ".join(capfd.readouterr().out.split())
        assert "Nothing was left to train" in said
        assert "Raise `patience` (=1) of EarlyStopping, which ended it to go on" in said


def test_averaged_weights_are_not_taken_for_those_that_were_trained():
    checkpoint = {"state_dict": {}, "current_model_state": {}}
    check_averages(checkpoint, [AveragedWeights()])
    check_averages({"state_dict": {}}, [])
    with pytest.raises(InputError, match="averages its weights"):
        check_averages(checkpoint, [])


def named(*names):
    return [{"class_path": f"somewhere.{name}", "init_args": {}} for name in names]


@pytest.mark.parametrize(
    ("appended", "left"),
    [
        ("C", named("A", "B")),
        ("there.B", named("A")),
        ({"class_path": "B"}, named("A")),
        ([{"class_path": "somewhere.A"}, "B"], None),
    ],
)
def test_what_a_command_appends_again_is_there_once_and_all_else_stays(appended, left):
    settings = {"trainer": {"callbacks": named("A", "B")}}
    _leave_out_appended(settings, "trainer.callbacks", appended)
    assert settings["trainer"].get("callbacks") == left


@pytest.mark.parametrize("path", ["callbacks", "trainer.callbacks", "trainer.logger.callbacks", "model.callbacks"])
def test_what_is_not_there_is_not_left_out(path):
    settings = {"trainer": {"logger": False}, "model": None}
    _leave_out_appended(settings, path, named("A"))
    assert settings == {"trainer": {"logger": False}, "model": None}


def test_numbers_that_a_command_appends_again_are_there_once():
    settings = {"model": {"encoder": {"class_path": "ConvEncoder", "init_args": {"channels": [1, 2], "views": 1}}}}
    _leave_out_appended(settings, "model.encoder.channels", 2)
    assert settings["model"]["encoder"]["init_args"] == {"views": 1}


@pytest.mark.parametrize("options", [["--a.b+=[1, c]"], ["--a.b+", "[1, c]"]])
def test_both_ways_to_append_are_known(options):
    assert [*_appended(["--first=1", *options, "--last+=2"])] == [("a.b", [1, "c"]), ("last", 2)]


def test_a_command_that_appends_goes_on(here):
    flags = [*FLAGS, ROWS, "--model.head_sizes+=5"]
    for folder, *more in (["begun"], ["resumed", CHECKPOINT]):
        trainer_of(here, flags, every=7)(folder, *more, "--trainer.callbacks+", "AveragedWeights")
    found = yaml.safe_load(Path("resumed/small/version_0/config.yaml").read_text())
    assert found["model"]["head_sizes"] == [5]
    kinds = [item["class_path"].rpartition(".")[2] for item in found["trainer"]["callbacks"]]
    assert kinds == ["ModelCheckpoint", "AveragedWeights"]


def test_a_best_checkpoint_that_is_damaged_is_left_out_in_words(train):
    train("begun")
    best = Path("begun/small/version_0/checkpoints/best.ckpt")
    best.write_bytes(best.read_bytes()[:300])
    with pytest.warns(UserWarning, match="The best epoch is looked for from here on"):
        train("resumed", CHECKPOINT, "--trainer.max_epochs=3")
    assert Path("resumed/small/version_0/checkpoints/best.ckpt").is_file()
