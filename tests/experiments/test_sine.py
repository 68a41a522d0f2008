"""Sine curves: the configuration, a small training, and the continuation of a file."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from seqsum.cli import main as train
from seqsum.experiments import sine
from seqsum.experiments.__main__ import main
from seqsum.experiments.runs import Run
from seqsum.experiments.sine import drift
from seqsum.figures.continuations import plot_continuations
from seqsum.inspect.restore import load
from seqsum.networks.free_run import free_run
from seqsum.objectives.next_sample_shown import as_csv, spread_curves

CONFIG = Path(__file__).parents[2] / "configs/sine.yaml"
QUIET = ["--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu", "--trainer.log_every_n_steps=1"]
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint"),
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Train a small network on one frequency, so that it only has to find the phase; return its folder."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train(["-c", str(CONFIG), *QUIET, "--trainer.max_epochs=1", "--data.epoch_size=9600", "--data.periods=[12,13]",
               "--data.sequence_length=40", "--model.hidden_size=16", "--model.objective.horizon=20",
               "--tensorboard.figures_every_n_epochs=0"])  # fmt: skip
    return folder / "logs/sine/version_0"


def test_configuration_runs(here, capfd):
    train(["-c", str(CONFIG), *QUIET, "--trainer.fast_dev_run=true"])
    assert "sine curves with periods of 10 to 40 steps, 100 samples each" in capfd.readouterr().out


def test_a_small_one_learns_in_seconds(finished):
    results = json.loads((finished / "results.json").read_text())
    by_step = results["test_by_step"]["mse"]
    assert by_step[0] > 0.05  # from one sample one can't tell whether the curve goes up or down
    assert max(by_step[20:]) < 0.003  # always 0: 0.5


def test_it_goes_on_by_itself(finished):
    network = load(str(finished / "checkpoints/best.ckpt")).module.network
    errors = drift(network, (12.0, 13.0), 10)
    assert errors.shape == (10,)
    assert errors.max() < 0.3  # always 0: 0.71
    curves = spread_curves((12.0, 13.0), 40)[1]
    with torch.no_grad():
        assert (free_run(network, curves[:, :30, None], 10) - curves[:, 30:]).abs().max() < 0.5


def test_drift_is_the_error_over_all_curves_after_each_step(monkeypatch):
    given = {}

    def behind(network, begun, steps):  # 0.5 more at each step than the curve
        given["begun"] = begun
        return curves[:, sine.GIVEN :] + 0.5 * torch.arange(1, steps + 1)

    monkeypatch.setattr(sine, "draw_curves", lambda *_: curves)
    monkeypatch.setattr(sine, "free_run", behind)
    curves = torch.randn(7, sine.GIVEN + 4)
    torch.testing.assert_close(drift(None, (10.0, 40.0), 4), torch.tensor([0.5, 1.0, 1.5, 2.0]))
    torch.testing.assert_close(given["begun"], curves[:, : sine.GIVEN, None])


def test_a_row_counts_steps_from_one():
    run = Run(Path(), {"parameters": 5, "test": {"test/mse": 0.0625}, "seconds": {"fit": 3.0}})
    errors = torch.linspace(0.1, 1.0, 10)
    found = sine.row("lstm", 2, run, errors)
    assert (found["next sample"], found["1 on"], found["10 on"]) == (0.25, 0.1, 1.0)
    assert found["worse than 0 from"] == 8  # 0.8, where 0.7 is still below √½
    assert "30 on" not in found
    assert sine.row("lstm", 2, run, errors[:7])["worse than 0 from"] is None


@pytest.mark.parametrize("cell", sine.CELLS)
def test_only_the_lstm_has_an_activation_of_its_output(monkeypatch, tmp_path, cell):
    monkeypatch.setattr(sine, "trained", lambda *given: given)
    options = SimpleNamespace(config="sine.yaml", output=tmp_path, arguments=["--other=1"])
    _, name, arguments = sine.train(cell, 12, 3, options)
    assert name == f"{cell}_seed3"
    assert ("--model.output_activation=null" in arguments) == (cell != "lstm")
    assert {"--model.hidden_size=12", "--seed_everything=3", "--other=1"} <= set(arguments)


def test_test_draws_continuations(finished):
    with Image.open(finished / "test_continuations.png") as image:
        assert image.width > 500


@pytest.mark.parametrize(
    ("names", "labels"),
    [(["network"], ["by the network"]), (["rnn", "lstm"], ["by the rnn", "by the lstm"])],
)
def test_legend_names_every_network(names, labels):
    figure = plot_continuations(torch.zeros(2, 3), {name: torch.zeros(2, 4) for name in names}, ["one", "two"])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.texts] == ["given", *(f"continued {label}" for label in labels)]
    dashed = [line.get_color() for line in legend.get_lines() if line.get_linestyle() == "--"]
    assert dashed == [panel.lines[-1].get_color() for panel in figure.axes[: len(names)]]


def test_predict_continues_a_curve_from_a_file(finished, here, capfd):
    curve = [math.sin(2 * math.pi * (step / 12.5 + 0.1)) for step in range(50)]
    (here / "curve.csv").write_text("\n".join(["sample", *(f"{value:.5f}" for value in curve[:30])]))
    train(["predict", f"--ckpt_path={finished / 'checkpoints/best.ckpt'}", "--data.curve=curve.csv", *QUIET])
    (folder,) = here.glob("logs/*/version_0")
    heading, *lines = (folder / "continuation.csv").read_text().splitlines()
    assert heading == "step,sample"
    steps, samples = zip(*(line.split(",") for line in lines), strict=True)
    assert [int(step) for step in steps] == list(range(31, 51))
    for sample, expected in zip(samples[:10], curve[30:40], strict=True):
        assert float(sample) == pytest.approx(expected, abs=0.3)
    with Image.open(folder / "continuation.png") as image:
        assert image.width > 500
    printed = capfd.readouterr().out
    assert "Continued 30 samples by 20." in printed
    assert "don't expect much" not in printed
    assert str(folder.relative_to(here) / "continuation.csv") in printed


def test_predict_says_when_a_curve_is_beyond_those_of_the_training(finished, here, capfd):
    (here / "curve.csv").write_text("0.5\n-3\n")
    train(["predict", f"--ckpt_path={finished / 'checkpoints/best.ckpt'}", "--data.curve=curve.csv", *QUIET])
    assert "The curve goes up to 3, those of the training only up to 1" in capfd.readouterr().out


@pytest.mark.parametrize(("options", "message"), [
    ([], "`--data.curve` must name a CSV file to predict from"),
    (["--data.curve=none.csv"], "`--data.curve` (=none.csv) can't be read as a text file"),
])  # fmt: skip
def test_predict_without_a_readable_file_is_refused(finished, here, capfd, options, message):
    with pytest.raises(SystemExit) as exit_:
        train(["predict", f"--ckpt_path={finished / 'checkpoints/best.ckpt'}", *options])
    assert exit_.value.code == 2
    error = capfd.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not list(here.glob("logs/*/*"))


@pytest.mark.slow
def test_comparison_draws_networks_of_equal_size(here):
    main(["sine", f"--config={CONFIG}", "--budget=200", "--steps=12", "--seeds", "0", "5", "--", *QUIET,
          "--trainer.max_epochs=1", "--data.epoch_size=128", "--data.sequence_length=10"])  # fmt: skip
    folder = here / "logs/experiments/sine"
    rows = json.loads((folder / "sine.json").read_text())["rows"]
    assert [(row["cell"], row["seed"]) for row in rows] == [("lstm", 0), ("lstm", 5), ("rnn", 0), ("rnn", 5)]
    for row in rows:
        assert 150 < row["parameters"] <= 200
        assert len(row["error"]) == 12
        assert row["10 on"] == pytest.approx(row["error"][9], abs=1e-4)
        worse = [step for step, error in enumerate(row["error"], start=1) if error > math.sqrt(0.5)]
        assert row["worse than 0 from"] == (worse[0] if worse else None)
    written = re.findall(r"^\| (lstm|rnn) \|", (folder / "sine.md").read_text(), flags=re.MULTILINE)
    assert written == [row["cell"] for row in rows]
    for name in ("sine_curves", "sine_error"):
        with Image.open(folder / f"{name}.png") as image:
            assert image.width > 500


def test_csv_has_steps_and_samples():
    assert as_csv(torch.tensor([0.25, -1 / 3]), first=31) == "step,sample\n31,0.25\n32,-0.333333\n"
