"""The tables over seeds and initial states, on small trainings: run once, gone on with, and true to the results."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean

import numpy as np
import pytest
from PIL import Image

from seqsum.experiments import initial_states, rows, runs
from seqsum.experiments.__main__ import main
from seqsum.figures.comparison import plot_comparison

REPOSITORY = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint"),
]


@pytest.fixture
def here(here):
    """With the configurations."""
    (here / "configs").symlink_to(REPOSITORY / "configs")
    return here


@pytest.fixture
def small(mnist_root):
    """Arguments of train.py for trainings of a second."""
    return [
        "--", f"--data.root={mnist_root}", "--model.hidden_size=4", "--trainer.max_epochs=1",
        "--trainer.limit_val_batches=1", "--trainer.limit_test_batches=1", "--trainer.log_every_n_steps=2",
        "--trainer.accelerator=cpu", "--tensorboard.histograms_every_n_epochs=0",
    ]  # fmt: skip


def test_every_configuration_has_a_published_accuracy():
    assert set(rows.PUBLISHED) == {path.stem for path in (REPOSITORY / "configs").glob("*s_*.yaml")} & {
        path.stem for path in (REPOSITORY / "configs").iterdir() if path.stem.startswith(("rows_", "columns_"))
    }


def test_table_says_what_the_runs_reached_and_no_run_is_done_twice(here, small, capsys, monkeypatch):
    command = ["rows", "--names", "rows_rnn_64", "--seeds", "0", "1", *small]
    main(command)
    folder = here / "logs/experiments/rows"
    found = [
        json.loads((folder / f"rows_rnn_64_seed{seed}/version_0/results.json").read_text())["test"]["test/accuracy"]
        for seed in (0, 1)
    ]
    table = json.loads((folder / "rows.json").read_text())["rows"]
    assert [line["configuration"] for line in table] == ["rows_rnn_64"]
    assert table[0]["accuracy"] == f"{mean(found):.4f}"
    assert table[0]["lowest to highest"] == f"{min(found):.4f} to {max(found):.4f}"
    assert (table[0]["published"], table[0]["dataset"], table[0]["seeds"]) == ("0.777", "mnist", 2)
    markdown = (folder / "rows.md").read_text().splitlines()
    assert markdown[0].startswith("| configuration | dataset | parameters |")
    assert markdown[2].startswith("| rows_rnn_64 | mnist | ")
    assert len(markdown) == 3
    with Image.open(folder / "rows.png") as image:
        assert image.width > 300
    monkeypatch.setattr(runs, "train", lambda arguments: pytest.fail(f"run again: {arguments}"))
    main(command)
    assert json.loads((folder / "rows.json").read_text())["rows"] == table


@pytest.mark.slow
def test_each_training_is_tested_with_each_initial_state(here, small, capsys, monkeypatch):
    monkeypatch.setattr(initial_states, "TESTED", ("zero", "1000"))  # without another second for each
    command = ["initial_states", "--names", "rows_rnn_64", "--seeds", "0", *small]
    main(command)
    folder = here / "logs/experiments/initial_states"
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


def test_comparison_shows_runs_their_mean_and_what_was_published():
    axes = plot_comparison({"a": [0.5, 0.7], "b": [0.9]}, {"b": 0.8}, "accuracy, %").axes[0]
    runs_of_a, mean_of_a, runs_of_b, _, published = axes.lines
    np.testing.assert_allclose(runs_of_a.get_xdata(), [50, 70])
    np.testing.assert_allclose(mean_of_a.get_xdata(), [60])
    np.testing.assert_allclose(runs_of_b.get_ydata(), [1])
    np.testing.assert_allclose((*published.get_xdata(), *published.get_ydata()), [80, 1])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
