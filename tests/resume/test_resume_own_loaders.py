"""A training on a loader of a user's own goes on exactly, also within an epoch: order, noise and dropout."""

from __future__ import annotations

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
    train = trainer_of(here, FLAGS, every=1)
    train("undisturbed", ROWS)
    capfd.readouterr()
    checkpoint = "undisturbed/small/version_0/checkpoints/step=2.ckpt"
    train("resumed", ROWS, "--data.batch_size=4", "--model.schedule=constant", f"--ckpt_path={checkpoint}")
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
