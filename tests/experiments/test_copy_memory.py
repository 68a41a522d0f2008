"""Copy memory: the configurations, a small training, and the comparison of cells."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from seqsum.cli import main as train
from seqsum.experiments import copy_memory as memory
from seqsum.experiments.__main__ import main
from seqsum.networks.budget import count_parameters
from tests.drawn import draw_nothing

CONFIGS = Path(__file__).parents[2] / "configs"
QUIET = ["--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu"]
pytestmark = [
    pytest.mark.usefixtures("here"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint"),
]


def results(folder):
    return json.loads((folder / "version_0/results.json").read_text())


@pytest.mark.parametrize("name", ["memory", "memory_blanks"])
def test_configuration_runs(name, capfd):
    train(["-c", str(CONFIGS / f"{name}.yaml"), *QUIET, "--trainer.fast_dev_run=true"])
    blanks = {"memory": 0, "memory_blanks": 20}[name]
    assert f"8 of 9 symbols to be repeated after {blanks} blanks and a delimiter" in capfd.readouterr().out


def test_a_small_one_learns_in_seconds(here):
    small = ["--data.to_remember_len=2", "--data.blank_separation_len=3", "--model.hidden_size=24"]
    train(["-c", str(CONFIGS / "memory_blanks.yaml"), *QUIET, *small, "--trainer.max_epochs=1",
           "--data.epoch_size=16000", "--tensorboard.figures_every_n_epochs=0"])  # fmt: skip
    test = results(here / "logs/memory_blanks")["test"]
    assert test["test/accuracy"] > 0.95  # guessing: 0.11
    assert test["test/exact_recall"] > 0.9
    assert test["test/loss"] < 0.1


def small_comparison(cells, blanks, *arguments):
    main(["memory", f"--config={CONFIGS / 'memory_blanks.yaml'}", "--budget=900", "--epochs=1", "--cells", *cells,
          "--blanks", *map(str, blanks), "--seeds", "0", "5", *arguments, "--", *QUIET, "--data.to_remember_len=1",
          "--data.epoch_size=128", "--trainer.log_every_n_steps=1", "--tensorboard.figures_every_n_epochs=0",
          "--trainer.limit_val_batches=1", "--trainer.limit_test_batches=2"])  # fmt: skip


@pytest.mark.slow
def test_comparison_trains_networks_of_equal_size_once(here, capsys):
    cells, blanks = ["irnn", "lstm"], [0, 2]
    small_comparison(cells, blanks)
    folder = here / "logs/experiments/memory"
    found = json.loads((folder / "memory.json").read_text())["rows"]
    assert [(row["cell"], row["blanks"]) for row in found] == [(cell, n) for n in blanks for cell in cells]
    for row in found:
        assert 0.9 * 900 < row["parameters"] <= 900
        runs = [results(folder / f"{row['cell']}_{row['blanks']}_seed{seed}") for seed in (0, 5)]
        assert [run["seed"] for run in runs] == [0, 5]
        low, high = sorted(run["test"]["test/accuracy"] for run in runs)
        assert row["accuracy"] == f"{(low + high) / 2:.4f}"
        assert row["lowest to highest"] == f"{low:.4f} to {high:.4f}"
        assert row["exact recall"] == f"{sum(run['test']['test/exact_recall'] for run in runs) / 2:.3f}"
    assert re.findall(r"^\| (\w+) \| (\d+) ", (folder / "memory.md").read_text(), flags=re.MULTILINE) == [
        (row["cell"], str(row["blanks"])) for row in found
    ]
    with Image.open(folder / "memory.png") as image:
        assert image.width > 500
    capsys.readouterr()
    small_comparison(cells, blanks)
    assert "Training" not in capsys.readouterr().out


@pytest.mark.slow
def test_comparison_with_other_settings_does_not_reuse_the_old_runs(capsys):
    small_comparison(["irnn"], [0])
    with pytest.raises(SystemExit) as exit_:
        small_comparison(["irnn"], [0], "--epochs=2")
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert "`--output` (=logs/experiments/memory) contains a run of irnn_0_seed0 with other settings" in error


def test_each_cell_is_trained_with_its_own_settings_and_drawn_beside_guessing(monkeypatch):
    calls, figures = {}, []

    def trained(root, name, arguments):
        calls[name] = arguments
        return SimpleNamespace(results={"test": {"test/accuracy": len(calls) / 10}})

    monkeypatch.setattr(memory, "trained", trained)
    monkeypatch.setattr(memory, "row", lambda *_: {})
    monkeypatch.setattr(memory, "save_table", lambda *_: None)
    monkeypatch.setattr(memory, "save", lambda figure, path: figures.append(figure.given))
    draw_nothing(monkeypatch, memory, "plot_memory")
    memory.run(
        SimpleNamespace(
            cells=["rnn", "gru"], blanks=[0, 7], budget=900, epochs=2, seeds=[5, 6], config="memory.yaml",
            arguments=["--other=1"], output=Path(),
        )
    )  # fmt: skip
    assert len(calls) == 8
    assert {"--data.blank_separation_len=7", "--seed_everything=6", "--other=1"} <= set(calls["gru_7_seed6"])
    assert set(memory.CELLS["rnn"]) <= set(calls["rnn_7_seed6"])
    assert "--model.forget_bias=null" not in calls["gru_7_seed6"]
    (drawn,) = figures
    assert drawn.chance == pytest.approx(1 / 9), "of the symbols, since only they are asked for"
    assert drawn.blanks == [0, 7]
    assert list(drawn.accuracies.values()) == [[[0.1, 0.5], [0.3, 0.7]], [[0.2, 0.6], [0.4, 0.8]]]


@pytest.mark.parametrize("cell", memory.CELLS)
def test_counted_network_is_the_one_that_is_trained(cell):
    size = memory.largest_size(lambda size: memory.build(cell, size), 46_210)
    assert 0.98 * 46_210 < count_parameters(memory.build(cell, size)) <= 46_210
    assert cell != "lstm" or size == 100  # as in the configuration
