"""Each part of counting is trained alone, from an encoder that reads where that is the part, and tested by length."""

from __future__ import annotations

import json

import pytest

from seqsum.experiments import count
from seqsum.experiments.__main__ import main

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*in eval mode at the start of training"),
]


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
    assert [row["part"] for row in found if "part" in row] == names
    assert [(row["configuration"], row["seed"]) for row in found if "seed" in row] == [(name, 3) for name in names]
    assert all(0 <= row["8"] <= 1 for row in found)
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
