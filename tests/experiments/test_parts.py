"""Each part of counting is trained alone, from an encoder that reads where that is the part, and tested by length."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from seqsum.experiments import count, parts
from seqsum.experiments.__main__ import main

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*in eval mode at the start of training"),
]


def test_causes_are_digits_read_as_no_number_and_errors_that_grow():
    readings = torch.tensor([1.0, 4.1, 5.75, 7.5, -2.3])
    errors = torch.cat([torch.full((2, 10), 0.01), torch.full((2, 90), -0.1), torch.full((2, 900), 2.0)], dim=1)
    found = parts.explain("none", readings, errors, torch.zeros(2, 1000))
    shares = {"error, steps 1 to 10": 0.01, "error, steps 11 to 100": 0.1, "error, steps 101 to 1000": 2.0}
    assert found == {"part": "none", "read as no number, %": 60.0} | shares


@pytest.mark.slow
def test_parts_are_trained_alone_and_compared(with_configs, mnist_root, capfd, monkeypatch):
    monkeypatch.setattr(count, "DRAWN", 1_000)
    short = [
        *(f"--data.root={mnist_root}", "--data.batch_size=16", "--trainer.max_epochs=2", "--trainer.accelerator=cpu"),
        *("--trainer.limit_train_batches=2", "--trainer.limit_val_batches=1", "--trainer.limit_test_batches=1"),
        *("--trainer.log_every_n_steps=1", "--tensorboard.figures_every_n_epochs=0"),
    ]
    names = ["none", "longer", "read first"]
    arguments = ["parts", "--output=out", "--seeds", "3", "--sequences=20", "--names", *names, "--", *short]
    main(arguments)
    out = with_configs / "out"
    found = json.loads((out / "parts.json").read_text())["rows"]
    assert [row["part"] for row in found if "part" in row] == names * 2  # right sums, and why others are wrong
    assert [(row["configuration"], row["seed"]) for row in found if "seed" in row] == [(name, 3) for name in names]
    assert all(0 <= row["8"] <= 1 for row in found if "8" in row)
    assert (out / "causes.md").read_text().count("\n") == 2 + len(names)
    assert (out / "parts.png").stat().st_size > 1_000
    settings = {name: next((out / f"{name}_seed3").glob("*/config.yaml")).read_text() for name in ("none", "longer")}
    assert "activation: softmax" in settings["none"]
    assert "views: 1" in settings["none"]
    assert "0.3: 8" in settings["longer"]
    started = json.loads((out / "read_first_seed3/arguments.json").read_text())
    assert "--model.encoder.start_from=out/reading_seed3/version_0/checkpoints/best.ckpt" in started
    capfd.readouterr()
    main(arguments)
    assert "Training" not in capfd.readouterr().out


def test_long_runs_have_only_digits_that_are_read_right(monkeypatch):
    digits = count.Digits("network", torch.zeros(4, 2), torch.arange(4), "sum")
    monkeypatch.setattr(count, "read_right", lambda network, features, labels: labels > 1)
    monkeypatch.setattr(parts, "final_sums", lambda *given: (given[2], None))
    long_run = SimpleNamespace(errors="errors", targets="targets")
    seen = []
    monkeypatch.setattr(parts, "run_long", lambda *given: seen.append(given[2].tolist()) or long_run)
    readings, *found = parts.cause(digits)
    assert readings.tolist() == [0, 1, 2, 3], "single digits are all read"
    assert seen == [[2, 3]]
    assert found == ["errors", "targets"]


@pytest.mark.parametrize("name", [*parts.PARTS])
def test_a_part_is_added_to_what_all_have(monkeypatch, tmp_path, name):
    calls = {}
    monkeypatch.setattr(parts, "trained", lambda root, name, arguments: calls.setdefault(name, arguments) and start)
    start = SimpleNamespace(checkpoint="reading.ckpt")
    parts.train(name, 3, SimpleNamespace(output=tmp_path, arguments=["--other=1"]))
    arguments = calls[f"{name.replace(' ', '_')}_seed3"]
    more = ["--model.encoder.start_from=reading.ckpt"] if name == "read first" else parts.PARTS[name]
    assert arguments == [*parts.WITHOUT, *more, "--seed_everything=3", "--other=1"]
    assert ("reading_seed3" in calls) == (name == "read first")
