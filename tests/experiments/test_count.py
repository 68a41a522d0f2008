"""Networks that read, then count, are trained once, and tested by length."""

from __future__ import annotations

import json

import pytest
import torch
from torch.nn import functional as F

from seqsum.experiments import count
from seqsum.experiments.__main__ import main
from seqsum.networks import Flatten, build_network

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*in eval mode at the start of training"),
]


@pytest.fixture
def arguments(mnist_root):
    """Arguments of the experiment for trainings of a second."""
    small = "channels=[2]"
    return [
        *("count", "--output=out", "--seeds", "0", "--sequences=50", "--names", "count"),
        f"--reading=--model.network.encoder.{small}",
        f"--counting=--model.hidden_size=4 '--data.sequence_length={{0: 2, 0.5: 4}}' --model.encoder.{small}",
        *("--", f"--data.root={mnist_root}", "--data.batch_size=16", "--trainer.max_epochs=2"),
        *("--trainer.limit_train_batches=2", "--trainer.limit_val_batches=1", "--trainer.limit_test_batches=1"),
        *("--trainer.accelerator=cpu", "--trainer.log_every_n_steps=1", "--tensorboard.figures_every_n_epochs=0"),
    ]


def test_reading_and_counting_are_trained_once_and_tested_by_length(with_configs, arguments, capfd, monkeypatch):
    monkeypatch.setattr(count, "DRAWN", 1_000)
    main(arguments)
    (row,) = json.loads((with_configs / "out/count.json").read_text())["rows"]
    assert row["configuration"] == "count"
    assert list(row)[2:] == ["1", "4", "8", "10", "20", "50", "100", "300", "1000"] + [
        f"{length}, read right" for length in (100, 300, 1000)
    ]
    assert all(0 <= row[name] <= 1 for name in list(row)[2:])
    assert "| count" in (with_configs / "out/count.md").read_text()
    assert (with_configs / "out/count.png").stat().st_size > 1_000
    start = with_configs / "out/reading_seed0/version_0/checkpoints/best.ckpt"
    assert (
        f"start_from: {start.relative_to(with_configs)}"
        in next((with_configs / "out/count_seed0").glob("*/config.yaml")).read_text()
    )
    capfd.readouterr()
    main(arguments)
    assert "Training" not in capfd.readouterr().out


def test_where_digits_are_too_few_many_are_drawn():
    """300 digits make 50 sequences of 4, each of which has other digits; longer ones are drawn."""
    network = build_network(1, hidden_size=4, encoder=Flatten(10)).eval()
    labels = torch.arange(300) % 10
    digits = count.Digits(network, F.one_hot(labels, 10).float(), labels, "alternating")
    scores = {score.length: score.sequences for score in count.by_length(digits, 50)}
    assert list(scores) == list(count.LENGTHS)
    assert (scores[1], scores[4]) == (300, 75)
    assert (scores[8], scores[100], scores[1000]) == (25_000, 2_000, 200)
