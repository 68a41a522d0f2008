"""A training on a loader of a user's own goes on exactly, also within an epoch: order, noise and dropout."""

from __future__ import annotations

import csv

import pytest
import torch

from seqsum.resume.exact import ExactResume
from tests.resume.from_steps import assert_goes_on_exactly, trainer_of

FLAGS = [
    *("--data=tests.resume.own_loaders.Own", "--model.encoder=Flatten", "--model.encoder.output_size=3"),
    *("--model.cell=gru", "--model.hidden_size=4", "--model.input_dropout=0.3", "--trainer.limit_test_batches=0"),
]


ROWS = "--data.kind=rows"


def test_a_training_after_one_that_went_on_begins_at_the_beginning():
    resume = ExactResume()
    resume.within, resume.loaders, resume.steps = 3, [{"served": 3}], 3
    resume.setup(None, None, "fit")  # before a checkpoint is read, if there is one
    assert (resume.within, resume.loaders, resume.steps) == (None, [], None)


@pytest.mark.parametrize(
    ("options", "steps", "within"),
    [
        ([ROWS], [2, 4, 10], 3),
        pytest.param([ROWS, "--data.workers=2"], [2, 4, 10], 3, marks=pytest.mark.slow),
        ([ROWS, "--trainer.val_check_interval=3"], [1, 3, 8], 3),
        ([ROWS, "--trainer.val_check_interval=2"], [1, 2, 7], 2),  # no validation at the end of an epoch
        pytest.param([ROWS, "--trainer.accumulate_grad_batches=2"], [2, 4, 6], 2, marks=pytest.mark.slow),
        pytest.param(
            [ROWS, "--trainer.accumulate_grad_batches=2", "--trainer.val_check_interval=2"],
            [2, 4, 6],
            2,
            marks=pytest.mark.slow,
        ),
        (["--data.kind=stream", "--model.schedule=constant"], [1, 7, 10], 3),
        (["--data.kind=counted"], [2, 4, 10], 0),  # it skips by itself
        (["--data.kind=by epoch"], [2, 7, 10], 2),
        (["--data.kind=generator"], [2, 7, 10], 2),
        pytest.param(["--data.kind=generator", "--data.workers=2"], [2, 7, 10], 2, marks=pytest.mark.slow),
        pytest.param(["--data.kind=sampler's generator"], [2, 7, 10], 2, marks=pytest.mark.slow),
        (["--data.kind=global generators"], [2, 7, 10], 2),
    ],
)
def test_training_goes_on_exactly_within_and_between_epochs(here, capfd, options, steps, within):
    assert_goes_on_exactly(trainer_of(here, FLAGS, every=1), steps, *options)
    said = capfd.readouterr()
    assert said.out.count("batches of this epoch that are done are read again, and skipped") == within
    assert "not resumable" not in said.out + said.err


def test_another_batch_size_within_an_epoch_is_said(here, capfd):
    train = trainer_of(here, [*FLAGS, "--model.schedule=constant"], every=1)
    train("undisturbed", ROWS)
    capfd.readouterr()
    checkpoint = "undisturbed/small/version_0/checkpoints/step=2.ckpt"
    train("resumed", ROWS, "--data.batch_size=4", f"--ckpt_path={checkpoint}")
    said = capfd.readouterr().out
    assert "2 batches of 8 sequences are done. As many of 4 are left out now: some sequences come twice" in said


@pytest.mark.parametrize(("kind", "batch"), [("rows", 0), ("rows", 6), ("stream", 3), ("stream", 6)])
def test_a_batch_within_which_a_checkpoint_was_written_is_trained_on_again(here, kind, batch):
    """6 is the last one of the epoch."""
    train = trainer_of(here, [*FLAGS, f"--data.kind={kind}", "--model.schedule=constant"], every=1)
    saving = ["--trainer.callbacks+=tests.resume.own_loaders.SavesWithin", f"--trainer.callbacks.batch={batch}"]
    undisturbed = train("undisturbed", *saving)["state_dict"]
    resumed = train("resumed", "--ckpt_path=within.ckpt")["state_dict"]
    assert all(torch.equal(weight, resumed[name]) for name, weight in undisturbed.items())


STOPPING = ["--trainer.callbacks+=tests.resume.own_loaders.StopsAfter", "--trainer.callbacks.batches"]


@pytest.mark.parametrize("kind", ["rows", "stream", "counted"])
@pytest.mark.parametrize("limit", ["steps", "time"])
def test_a_training_that_a_limit_ended_within_an_epoch_goes_on_there(here, kind, limit):
    train = trainer_of(here, [*FLAGS, f"--data.kind={kind}", "--model.schedule=constant"], every=1)
    undisturbed = train("undisturbed")
    ended = ["--trainer.max_steps=10"] if limit == "steps" else [STOPPING[0], f"{STOPPING[1]}=10"]
    assert train("ended", *ended)["global_step"] == 10
    resumed = train("resumed", "--ckpt_path=ended/small/version_0/checkpoints/last.ckpt", "--trainer.max_steps=-1")
    assert resumed["global_step"] == undisturbed["global_step"] == 14
    for name, weight in undisturbed["state_dict"].items():
        assert torch.equal(weight, resumed["state_dict"][name]), name
    logged, again = (read_csv(f"{folder}/small/version_0/metrics.csv") for folder in ("undisturbed", "resumed"))
    assert again["train/loss"] == logged["train/loss"][1:]


@pytest.mark.parametrize(("before", "now"), [("constant", "one_cycle"), ("one_cycle", "constant")])
def test_another_schedule_is_refused(here, capfd, before, now):
    train = trainer_of(here, FLAGS, every=1)
    train("begun", f"--model.schedule={before}")
    checkpoint = "--ckpt_path=begun/small/version_0/checkpoints/step=7.ckpt"
    with pytest.raises(SystemExit) as exit_:
        train("other", checkpoint, f"--model.schedule={now}")
    assert exit_.value.code == 2
    assert f"`--model.schedule` (={now}) can't be changed when a training goes on: it was begun with {before}" in (
        capfd.readouterr().err
    )
    train("same", checkpoint, f"--model.schedule={before}", "--trainer.max_epochs=3")


def read_csv(path):
    """The figures of each column, without those that are missing."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [row[name] for row in rows if row[name]] for name in rows[0]}
