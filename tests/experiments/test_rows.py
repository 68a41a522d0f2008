"""Tables over seeds and initial states, of small trainings that run once and can be resumed."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from statistics import mean
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from PIL import Image

from seqsum.cli import main as train
from seqsum.experiments import initial_states, rows, runs
from seqsum.experiments.__main__ import main
from seqsum.figures.comparison import plot_comparison

REPOSITORY = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint"),
]


@pytest.fixture
def small(mnist_root):
    """Arguments of train.py for a training of one second."""
    return [
        "--", f"--data.root={mnist_root}", "--model.hidden_size=4", "--trainer.max_epochs=1",
        "--trainer.limit_val_batches=1", "--trainer.limit_test_batches=1", "--trainer.log_every_n_steps=2",
        "--trainer.accelerator=cpu", "--tensorboard.histograms_every_n_epochs=0",
    ]  # fmt: skip


READ = {  # what all twelve read and decide with
    "encoder": {"class_path": "seqsum.networks.Flatten", "init_args": {"output_size": 28}},
    "objective": {
        "class_path": "seqsum.objectives.Classification",
        "init_args": {"num_classes": 10, "scored": "last", "sigmoid": False, "convolutions": None},
    },
    "learning_rate": 0.001, "weight_decay": 0.0, "schedule": "constant",
}  # fmt: skip
PLAIN = {"steps": "rows", "batch_size": 128, "threshold": None, "train_on": "train"}
BINARY = {"steps": "rows", "batch_size": 256, "threshold": 0.1, "train_on": "all"}
RNN = {"cell": "rnn", "num_layers": 1, "bias": "one", "head_sizes": []}
LSTM = {"cell": "lstm", "num_layers": 1, "bias": "one", "output_activation": "tanh", "head_sizes": [64]}
GRU = {
    "cell": "gru", "num_layers": 1, "bias": "one", "head_sizes": [64],
    "forget_bias": {"reset_gate": 1.0, "update_gate": 1.0},
}  # fmt: skip
LISTED = {
    "rows_rnn_128": (RNN | {"hidden_size": 128}, PLAIN),
    "rows_rnn_64": (RNN | {"hidden_size": 64}, PLAIN),
    "rows_lstm_128": (LSTM | {"hidden_size": 128, "bias": "none", "head_sizes": []}, PLAIN),
    "columns_rnn_128": (RNN | {"hidden_size": 128}, PLAIN | {"steps": "columns"}),
    "rows_binary_lstm_32": (LSTM | {"hidden_size": 32}, BINARY),
    "rows_binary_lstm_64": (LSTM | {"hidden_size": 64}, BINARY),
    "rows_binary_lstm_128": (LSTM | {"hidden_size": 128}, BINARY),
    "rows_binary_lstm_3x32": (LSTM | {"hidden_size": 32, "num_layers": 3}, BINARY),
    "rows_binary_gru_32": (GRU | {"hidden_size": 32}, BINARY),
    "rows_binary_gru_64": (GRU | {"hidden_size": 64}, BINARY),
    "rows_binary_gru_128": (GRU | {"hidden_size": 128}, BINARY),
    "rows_binary_gru_3x32": (GRU | {"hidden_size": 32, "num_layers": 3}, BINARY),
}


def settings_of(arguments, capsys):
    """Return the settings that the command line parses from arguments."""
    with pytest.raises(SystemExit) as exit_:
        train([*arguments, "--print_config"])
    assert not exit_.value.code
    return yaml.safe_load(capsys.readouterr().out)


DEFAULTS = []


def defaults(capsys):
    """Return the settings without any arguments, parsed once."""
    if not DEFAULTS:
        DEFAULTS.append(settings_of([], capsys))
    return copy.deepcopy(DEFAULTS[0])


def test_every_set_up_is_listed():
    assert set(rows.SET_UPS) == set(LISTED)


@pytest.mark.parametrize("name", LISTED)
def test_base_and_differences_give_the_settings_listed(with_configs, capsys, name):
    model, data = LISTED[name]
    found, default = settings_of(rows.SET_UPS[name].arguments(), capsys), defaults(capsys)
    binary = data["threshold"] is not None
    averaged = [(each["class_path"], each["init_args"]["decay"]) for each in found["trainer"]["callbacks"] or []]
    assert averaged == ([("seqsum.callbacks.AveragedWeights", 0.99)] if binary else [])
    given = {"max_epochs": 10 if binary else 4, "gradient_clip_val": None, "callbacks": found["trainer"]["callbacks"]}
    assert found["trainer"] == default["trainer"] | given
    assert found["model"] == default["model"] | READ | model
    assert found["data"]["class_path"] == "seqsum.data.DigitRows"
    others = {"dataset": "auto", "root": "data", "images": None}
    assert found["data"]["init_args"] == others | data


@pytest.mark.parametrize("path", sorted((REPOSITORY / "configs/rows").iterdir()), ids=lambda path: path.stem)
def test_every_difference_says_how_to_run_it_and_is_used(with_configs, path, capsys):
    (command,) = re.findall(r"^# python train.py (-c .*)$", path.read_text(), flags=re.MULTILINE)
    assert f"configs/rows/{path.name}" in command
    assert settings_of(command.split(), capsys)["experiment"] == "rows"
    assert any(path.stem in set_up.differences for set_up in rows.SET_UPS.values())


def test_table_says_what_the_runs_reached_and_no_run_is_done_twice(with_configs, small, capsys, monkeypatch):
    command = ["rows", "--names", "rows_rnn_64", "--seeds", "0", "1", *small]
    main(command)
    folder = with_configs / "logs/experiments/rows"
    found = [
        json.loads((folder / f"rows_rnn_64_seed{seed}/version_0/results.json").read_text())["test"]["test/accuracy"]
        for seed in (0, 1)
    ]
    table = json.loads((folder / "rows.json").read_text())["rows"]
    assert [line["configuration"] for line in table] == ["rows_rnn_64"]
    assert table[0]["accuracy"] == f"{mean(found):.4f}"
    assert table[0]["lowest to highest"] == f"{min(found):.4f} to {max(found):.4f}"
    assert (table[0]["published"], table[0]["dataset"], table[0]["seeds"]) == ("0.777", "mnist", 2)
    head, _, *written = ([cell.strip() for cell in line.strip("| ").split("|")] for line in
                         (folder / "rows.md").read_text().splitlines())  # fmt: skip
    assert head[:3] == ["configuration", "dataset", "parameters"]
    assert [row[:2] for row in written] == [["rows_rnn_64", "mnist"]]
    with Image.open(folder / "rows.png") as image:
        assert image.width > 300
    monkeypatch.setattr(runs, "train", lambda arguments: pytest.fail(f"run again: {arguments}"))
    main(command)
    assert json.loads((folder / "rows.json").read_text())["rows"] == table


@pytest.mark.slow
def test_each_training_is_tested_with_each_initial_state(with_configs, small, capsys, monkeypatch):
    monkeypatch.setattr(initial_states, "TESTED", ("zero", "1000"))  # without another second for each
    command = ["initial_states", "--names", "rows_rnn_64", "--seeds", "0", *small]
    main(command)
    folder = with_configs / "logs/experiments/initial_states"
    table = json.loads((folder / "initial_states.json").read_text())["rows"]
    assert [(line["trained with"], line["tested with"]) for line in table] == [
        ("zero", "zero"), ("zero", "1000"),
        ("random", "random"), ("random", "zero"), ("random", "1000"),
        ("learned", "learned"), ("learned", "zero"), ("learned", "1000"),
    ]  # fmt: skip
    tested = json.loads((folder / "rows_rnn_64_random_seed0_1000-test/version_0/results.json").read_text())
    assert table[4]["accuracy"] == f"{tested['test']['test/accuracy']:.4f}"
    assert table[1]["published"] == "0.388"
    assert tested["checkpoint"].endswith("rows_rnn_64_random_seed0/version_0/checkpoints/best.ckpt")
    monkeypatch.setattr(runs, "train", lambda arguments: pytest.fail(f"run again: {arguments}"))
    main(command)


def test_a_test_from_another_initial_state_is_of_its_own_training(monkeypatch, tmp_path):
    monkeypatch.setattr(initial_states, "tested", lambda *given: given)
    options, run = SimpleNamespace(output=tmp_path), runs.Run(tmp_path, {})
    assert initial_states.test(run, "zero", "zero", options) is run
    assert initial_states.test(run, "zero", "1000", options) == (tmp_path, run, "--model.initial_state=1000")
    assert initial_states.row("rows_rnn_64", "zero", "1000", [0.25, 0.75]) == {
        "configuration": "rows_rnn_64",
        "trained with": "zero",
        "tested with": "1000",
        "accuracy": "0.5000",
        "lowest to highest": "0.2500 to 0.7500",
        "published": "0.388",
    }
    assert initial_states.row("rows_rnn_64", "1000", "zero", [0.5])["published"] == "–"


def test_what_differs_from_a_set_up_is_in_the_name_and_the_arguments(monkeypatch, tmp_path):
    monkeypatch.setattr(rows, "trained", lambda *given: given)
    options = SimpleNamespace(output=tmp_path, arguments=["--other=1"])
    _, name, arguments = rows.train("rows_rnn_64", 3, options, "--model.initial_state=random")
    assert name == "rows_rnn_64_random_seed3"
    expected = ["--model.initial_state=random", "--seed_everything=3", "--other=1"]
    assert arguments == [*rows.SET_UPS["rows_rnn_64"].arguments(), *expected]


def test_comparison_shows_runs_their_mean_and_what_was_published():
    axes = plot_comparison({"a": [0.5, 0.7], "b": [0.9]}, {"b": 0.8}, "accuracy, %").axes[0]
    runs_of_a, mean_of_a, runs_of_b, _, published = axes.lines
    np.testing.assert_allclose(runs_of_a.get_xdata(), [50, 70])
    np.testing.assert_allclose(mean_of_a.get_xdata(), [60])
    np.testing.assert_allclose(runs_of_b.get_ydata(), [1])
    np.testing.assert_allclose((*published.get_xdata(), *published.get_ydata()), [80, 1])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
