"""Networks that read, then count, are trained once, and tested by length."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from seqsum.experiments import count
from seqsum.experiments.__main__ import main
from seqsum.networks import Flatten, build_network
from seqsum.objectives.reading import LengthScore
from tests.drawn import draw_nothing

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


def test_digits_that_are_read_wrong_alone_are_left_out_of_the_second_scores(monkeypatch):
    features, labels = torch.arange(6.0).unsqueeze(1), torch.tensor([3, 1, 4, 1, 5, 9])
    monkeypatch.setattr(count, "read_right", lambda network, features, labels: labels > 2)
    monkeypatch.setattr(count, "by_length", lambda digits, sequences: [digits.features.flatten(), digits.labels])
    scores = count.test(count.Digits(None, features, labels, "sum"), 50)
    assert [found.tolist() for found in scores.test] == [[0, 1, 2, 3, 4, 5], labels.tolist()]
    assert [found.tolist() for found in scores.read_right] == [[0, 2, 4, 5], [3, 4, 5, 9]]


def test_a_figure_has_means_over_seeds_and_of_single_digits_over_networks(monkeypatch, tmp_path):
    def scores(*right):
        found = [LengthScore(length, each, 1_000) for length, each in zip((1, 4, 100), right, strict=True)]
        return count.Scores(found, [score._replace(right=score.right + 1) for score in found])

    of_runs = {"count_0": scores(990, 800, 500), "count_1": scores(970, 600, 300), "count_10_0": scores(960, 40, 20),
               "count_10_1": scores(940, 20, 0)}  # fmt: skip
    tables, figures = [], []
    monkeypatch.setattr(count, "read", lambda seed, options: f"reading_{seed}")
    monkeypatch.setattr(count, "count", lambda name, seed, start, _: SimpleNamespace(checkpoint=f"{name}_{seed}"))
    monkeypatch.setattr(count, "restore", lambda checkpoint: checkpoint)
    monkeypatch.setattr(count, "test", lambda checkpoint, sequences: of_runs[checkpoint])
    monkeypatch.setattr(count, "save_table", lambda title, name, rows, options: tables.append(rows))
    monkeypatch.setattr(count, "save", lambda figure, path: figures.append(figure))
    draw_nothing(monkeypatch, count, "plot_length_curves")
    count.run(SimpleNamespace(names=["count", "count_10"], seeds=[0, 1], sequences=50, output=tmp_path))
    ((_, shares, digit),) = [figure.given.__dict__.values() for figure in figures]
    torch.testing.assert_close(shares["count"], torch.tensor([0.98, 0.7, 0.4]))
    torch.testing.assert_close(shares["count_10"], torch.tensor([0.95, 0.03, 0.01]))
    assert digit == pytest.approx(0.965)
    expected = {"configuration": "count", "seed": 1, "1": 0.97, "4": 0.6, "100": 0.3, "100, read right": 0.301}
    assert tables[0][1] == expected
    assert count.share(LengthScore(1, 98_764, 100_000)) == 0.9876
    assert count.share(LengthScore(4, 98_765, 100_000)) == 0.988
