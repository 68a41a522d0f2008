"""Trainings of an experiment run once, resume after an interruption, and are never mixed up."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import time

import pytest

from seqsum.errors import InputError
from seqsum.experiments import runs
from seqsum.experiments.runs import Run, trained, training_seconds


@pytest.fixture
def train(monkeypatch):
    """Replace `train.py` by a function that makes the same folders and records its calls."""
    calls = []

    def stand_in(arguments):
        options = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
        subcommand = "-test" if arguments[0] == "test" else ""
        folder = runs.Path(options["--trainer.default_root_dir"]) / f"{options['--experiment']}{subcommand}"
        version = folder / f"version_{len(list(folder.glob('version_*')))}"
        (version / "checkpoints").mkdir(parents=True)
        (version / "checkpoints/last.ckpt").touch()
        (version / "checkpoints/best.ckpt").touch()
        calls.append(arguments)
        if stand_in.interrupted:
            raise SystemExit(1)
        results = {"test": {"test/accuracy": 0.5}}
        if arguments[0] == "test":
            results["checkpoint"] = options["--ckpt_path"]
        (version / "results.json").write_text(json.dumps(results))

    stand_in.calls, stand_in.interrupted = calls, False
    monkeypatch.setattr(runs, "train", stand_in)
    return stand_in


def test_a_run_is_done_once(train, tmp_path):
    first = trained(tmp_path, "lstm", ["--model.cell=lstm"])
    again = trained(tmp_path, "lstm", ["--model.cell=lstm"])
    assert first == again
    assert first.results == {"test": {"test/accuracy": 0.5}}
    assert first.checkpoint == tmp_path / "lstm/version_0/checkpoints/best.ckpt"
    assert len(train.calls) == 1
    assert train.calls[0][0] == "--model.cell=lstm"
    assert f"--trainer.default_root_dir={tmp_path}" in train.calls[0]


def test_an_interrupted_run_goes_on_from_its_last_checkpoint(train, tmp_path):
    train.interrupted = True
    with pytest.raises(SystemExit):
        trained(tmp_path, "lstm", ["--model.cell=lstm"])
    train.interrupted = False
    assert trained(tmp_path, "lstm", ["--model.cell=lstm"]).folder == tmp_path / "lstm/version_1"
    assert train.calls[0][-1] != train.calls[1][-1]
    assert train.calls[1][-1] == f"--ckpt_path={tmp_path}/lstm/version_0/checkpoints/last.ckpt"


def test_a_run_goes_on_from_the_latest_of_many(train, tmp_path):
    for version in range(11):
        (tmp_path / f"lstm/version_{version}/checkpoints").mkdir(parents=True)
        (tmp_path / f"lstm/version_{version}/checkpoints/last.ckpt").touch()
    trained(tmp_path, "lstm", [])
    assert train.calls[0][-1].endswith("version_10/checkpoints/last.ckpt")


def test_a_test_is_done_once_for_each_checkpoint(train, tmp_path):
    run = trained(tmp_path, "lstm", [])
    found = [runs.tested(tmp_path, run, "--model.initial_state=1000") for _ in range(2)]
    assert found[0] == found[1]
    assert len(train.calls) == 2
    assert found[0].folder == tmp_path / "lstm_1000-test/version_0"
    os.utime(run.checkpoint, (time.time() + 5,) * 2)  # as if it were trained again
    assert runs.tested(tmp_path, run, "--model.initial_state=1000").folder == tmp_path / "lstm_1000-test/version_1"
    os.utime(run.checkpoint, (0, 0))
    other = Run(shutil.copytree(tmp_path / "lstm/version_0", tmp_path / "lstm/version_7"), {})
    assert runs.tested(tmp_path, other, "--model.initial_state=1000").folder == tmp_path / "lstm_1000-test/version_2"
    with pytest.raises(InputError, match="contains a run of lstm_1000-test with other settings"):
        runs.tested(tmp_path, run, "--model.other=1000")


def test_a_training_is_announced_as_a_shell_takes_it(train, tmp_path, capfd):
    trained(tmp_path, "lstm", ["--data.sequence_length={0: 4, 0.3: 8}"])
    assert "python train.py '--data.sequence_length={0: 4, 0.3: 8}'" in " ".join(capfd.readouterr().out.split())


def test_results_of_other_settings_are_not_taken(train, tmp_path):
    trained(tmp_path, "lstm", ["--model.hidden_size=4"])
    with pytest.raises(InputError, match=r"\(=.*\) contains a run of lstm with other settings .*=4, not .*=5"):
        trained(tmp_path, "lstm", ["--model.hidden_size=5"])


def test_settings_that_were_refused_may_be_mended_in_the_same_folder(train, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(runs, "train", lambda arguments: sys.exit(2))  # as for an unknown flag
        with pytest.raises(SystemExit):
            trained(tmp_path, "lstm", ["--model.hiden_size=4"])
    run = trained(tmp_path, "lstm", ["--model.hidden_size=4"])
    assert trained(tmp_path, "lstm", ["--model.hidden_size=4"]) == run
    with pytest.raises(InputError, match=r"contains a run of lstm with other settings \(--model\.hidden_size=4, not"):
        trained(tmp_path, "lstm", ["--model.hiden_size=4"])


def test_two_runs_have_two_folders(train, tmp_path):
    assert trained(tmp_path, "lstm", ["-c", "x"]).folder != trained(tmp_path, "gru", ["-c", "x"]).folder
    assert len(train.calls) == 2


def test_what_a_run_and_its_interrupted_part_logged_is_read_by_the_steps_done(train, tmp_path):
    run = trained(tmp_path, "lstm", [])
    resumed = tmp_path / "lstm/version_1"
    resumed.mkdir()
    (run.folder / "metrics.csv").write_text("epoch,step,val/accuracy\n0,9,0.5\n0,10,\n1,19,0.7\n")
    (resumed / "metrics.csv").write_text("epoch,step,val/accuracy,train/loss\n1,19,0.75,\n2,29,0.8,1.0\n")
    found = runs.Run(resumed, {})
    assert runs.logged(found, "val/accuracy") == {10: 0.5, 20: 0.75, 30: 0.8}
    assert runs.logged(found, "train/loss") == {30: 1.0}
    assert runs.logged(found, "other") == {}


def test_accuracies_are_told_by_their_mean_and_ends():
    expected = {"accuracy": "0.5000", "lowest to highest": "0.2000 to 0.9000"}
    assert runs.spread([0.4, 0.9, 0.2, 0.5]) == expected


def test_of_several_versions_the_newest_with_results_counts(tmp_path):
    for version, accuracy in ((0, 0.25), (1, 0.75), (2, None)):
        (tmp_path / f"version_{version}").mkdir()
        if accuracy is not None:
            results = {"test": {"test/accuracy": accuracy, "test/loss": None}}
            (tmp_path / f"version_{version}/results.json").write_text(json.dumps(results))
    found = runs.finished(tmp_path)
    assert found.folder == tmp_path / "version_1"
    assert runs.accuracies([found]) == [0.75]
    assert math.isnan(found.results["test"]["test/loss"])


def test_an_interrupted_training_has_no_seconds(tmp_path):
    seconds = [{"fit": 2.0}, {"fit_after_resumption": 90.0}, {"fit": 5.4}]
    runs_ = [Run(tmp_path, {"seconds": each}) for each in seconds]
    assert training_seconds(runs_) == 4
    assert training_seconds(runs_[1:2]) == "–"


def test_a_training_that_leaves_no_results_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(runs, "train", lambda arguments: None)  # as with --trainer.fast_dev_run
    with pytest.raises(InputError, match=r"wrote no results\.json"):
        trained(tmp_path, "lstm", [])
