"""What holds of all experiments."""

import inspect
from types import SimpleNamespace

import pytest

from seqsum.experiments.__main__ import ALONE, EXPERIMENTS, main


@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if name not in ALONE])
def test_outside_of_the_repository_it_is_said_before_any_work(tmp_path, monkeypatch, capfd, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        main([name])
    assert exit_.value.code == 2
    printed = capfd.readouterr()
    assert printed.out == ""
    assert f" is not in {tmp_path}: run experiments in the folder of the repository" in printed.err
    assert printed.err.startswith("error: configs")
    assert printed.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ALONE)
def test_those_that_run_anywhere_train_nothing_from_a_file(name):
    source = inspect.getsource(EXPERIMENTS[name])
    assert "configs/" not in source
    assert "experiments.runs" not in source


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["memory", "--seeds", "0", "1", "0"], "`--seeds` names 0 twice"),
        (["words", "--modes", "cbow", "cbow"], "`--modes` names cbow twice"),
        (["memory", "--", "--data.epoch_size=9", "--seed_everything=3"], "`--seed_everything` can't be given to all"),
        (["memory", "--", "--seed_everything", "3"], "`--seed_everything` can't be given to all"),
        (["orders", "--seed", "99999999999999999999"], "`--seed` (=99999999999999999999) must be from 0 to 4294967295"),
    ],
)
def test_no_run_is_counted_twice(arguments, message, capfd):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert message in capfd.readouterr().err


def test_flags_for_trainings_may_have_a_value_twice(monkeypatch, tmp_path):
    done = []
    monkeypatch.setitem(EXPERIMENTS, "memory", SimpleNamespace(**vars(EXPERIMENTS["memory"]) | {"run": done.append}))
    main(["memory", f"--output={tmp_path}", "--", "--data.epoch_size", "9", "--data.batch_size", "9"])
    assert done[0].arguments == ["--data.epoch_size", "9", "--data.batch_size", "9"]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_folder_that_cannot_be_is_said_before_any_work(name, tmp_path, capfd):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as exit_:
        main([name, f"--output={tmp_path / 'file/inside'}"])
    assert exit_.value.code == 2
    printed = capfd.readouterr()
    assert printed.out == ""
    file = tmp_path / "file"
    assert printed.err == f"error: `--output` (={file / 'inside'}) can't be a folder: {file} is a file\n"


def test_a_folder_that_cannot_be_written_is_said_before_any_work(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    with pytest.raises(SystemExit):
        main(["orders", f"--output={tmp_path / 'inside'}"])
    assert capfd.readouterr().err == (
        f"error: `--output` (={tmp_path / 'inside'}) can't be written: {tmp_path} is read-only\n"
    )
