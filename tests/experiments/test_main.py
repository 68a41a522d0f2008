"""What holds of all experiments."""

import inspect

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
