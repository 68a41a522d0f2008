"""Starts of a hidden layer: each set-up's settings, small runs done once, and how many units differ."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image

from seqsum.experiments import runs, starts
from seqsum.experiments.__main__ import main
from seqsum.figures.error_panels import plot_error_panels

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint"),
]


def test_from_zeros_the_table_shows_units_that_stay_equal(with_configs, mnist_root, monkeypatch, capsys):
    command = [
        "starts", "--sizes", "8", "--activations", "relu", "sigmoid", "--starts", "he", "zeros", "--",
        f"--data.root={mnist_root}", "--data.batch_size=20", "--model.learning_rate=0.02",
        "--trainer.limit_val_batches=1", "--trainer.log_every_n_steps=2", "--trainer.accelerator=cpu",
    ]  # fmt: skip
    main(command)
    folder = with_configs / "logs/experiments/starts"
    table = json.loads((folder / "starts.json").read_text())["rows"]
    assert [(row["activation"], row["units"], row["start"]) for row in table] == [
        ("relu", 8, "he"), ("relu", 8, "zeros"), ("sigmoid", 8, "he"), ("sigmoid", 8, "zeros"),
    ]  # fmt: skip
    assert [row["different units"] for row in table] == [8, 1, 8, 1]
    assert table[1]["largest weight"] == "0"  # no gradient: with zeros behind it, none comes back
    assert float(table[3]["largest weight"]) > 0
    for row, name in zip(table, ("relu_8_he", "relu_8_zeros", "sigmoid_8_he", "sigmoid_8_zeros"), strict=True):
        results = json.loads((folder / f"starts_{name}_seed0/version_0/results.json").read_text())
        assert row["accuracy"] == f"{results['test']['test/accuracy']:.4f}"
    assert float(table[0]["accuracy"]) > 0.3 > float(table[1]["accuracy"])
    assert (folder / "starts.md").read_text().splitlines()[2].startswith("| relu | 8 | he | mnist |")
    with Image.open(folder / "starts.png") as image:
        assert image.width > 300
    monkeypatch.setattr(runs, "train", lambda arguments: pytest.fail(f"run again: {arguments}"))
    main(command)


def test_units_that_differ_only_by_rounding_are_one():
    units = torch.randn(5, 7)
    repeated = torch.cat([units, units * (1 + 1e-6), units[:2]])
    assert starts.different(repeated[torch.randperm(12)]) == 5
    assert starts.different(torch.zeros(6, 3)) == 1


def test_units_that_differ_only_by_their_bias_are_several(monkeypatch, tmp_path):
    layer = {f"{starts.LAYER}.weight": torch.full((3, 4), -0.5), f"{starts.LAYER}.bias": torch.tensor([1.0, 2.0, 1.0])}
    monkeypatch.setattr(starts, "weights_of", lambda run: layer)
    run = runs.Run(tmp_path, {"dataset": "mnist", "test": {"test/accuracy": 0.5}})
    found = starts.row(starts.SetUp("relu", 3, "he"), [run])
    assert (found["different units"], found["largest weight"]) == (2, "0.5")


def test_figure_has_a_panel_an_activation_and_a_line_a_start():
    values = np.random.default_rng(0).random((2, 3, 2, 2))
    keys = list(product(("relu", "tanh"), (4, 16, 64), ("he", "zeros")))
    found = {key: list(value) for key, value in zip(keys, values.reshape(-1, 2), strict=True)}
    figure = plot_error_panels(found, "hidden units", chance=0.1)
    assert [axes.get_title() for axes in figure.axes] == ["relu", "tanh"]
    for place, axes in enumerate(figure.axes):
        guessing, he, dots, zeros, _ = axes.lines
        np.testing.assert_allclose(guessing.get_ydata(), 90)
        assert [text.get_text() for text in axes.get_xticklabels()] == ["4", "16", "64"]
        np.testing.assert_allclose(he.get_ydata(), 100 - 100 * values[place, :, 0].mean(-1))
        np.testing.assert_allclose(zeros.get_ydata(), 100 - 100 * values[place, :, 1].mean(-1))
        np.testing.assert_allclose(dots.get_ydata(), 100 - 100 * values[place, :, 0].flatten())
    assert plot_error_panels({("relu", 4, "he"): [1.0]}, "hidden units", chance=0.1).axes[0].lines[1].get_ydata() == [
        0.01
    ]
    assert [text.get_text() for text in figure.legends[0].texts] == ["guessing", "he", "zeros"]
