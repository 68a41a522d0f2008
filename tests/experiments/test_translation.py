"""Translations with each attention: small runs done once, greedy tests beside those with beams, and maps."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from seqsum.experiments import runs, translation
from seqsum.experiments.__main__ import main
from seqsum.experiments.runs import Run

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint"),
]


@pytest.mark.slow
def test_attentions_are_compared_on_the_same_sentences(with_configs, monkeypatch):
    command = [
        "translation", "--attentions", "additive", "none", "--", "--data.dataset=made", "--data.vocabulary_size=70",
        "--model.network.hidden_size=8", "--model.network.embedding_size=6", "--model.objective.longest=12",
        "--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--trainer.limit_val_batches=1",
        "--trainer.log_every_n_steps=1", "--trainer.accelerator=cpu",
        "--tensorboard.figures_every_n_epochs=0",
    ]  # fmt: skip
    main(command)
    folder = with_configs / "logs/experiments/translation"
    table = json.loads((folder / "translation.json").read_text())["rows"]
    assert [(row["attention"], row["attends"]) for row in table] == [
        ("additive", "each_step"), ("additive", "after"), ("none", "each_step"), ("none", "after"),
    ]  # fmt: skip
    for row in table:
        name = f"{row['attention']}_{row['attends']}_seed0"
        beams, greedy = (
            json.loads((folder / f"{run}-made/version_0/results.json").read_text())["test"]
            for run in (name, f"{name}_1-test")
        )
        assert row["perplexity"] == round(beams["test/perplexity"], 3) == round(greedy["test/perplexity"], 3)
        assert (row["BLEU, beams"], row["BLEU, greedy"]) == (
            round(beams["test/bleu"], 2),
            round(greedy["test/bleu"], 2),
        )
    assert table[0]["parameters"] > table[2]["parameters"]  # of the scores
    for attends in ("each_step", "after"):
        for place in (1, 2, 3):
            with Image.open(folder / f"attention_{attends}_{place}.png") as image:
                assert image.width > 400  # two maps side by side
    monkeypatch.setattr(runs, "train", lambda arguments: pytest.fail(f"run again: {arguments}"))
    main(command)


def test_few_sentences_are_all_drawn(with_configs):
    lines = [f"eins {n % 3} {n}\tone {n % 3} {n}\n" for n in range(12)]
    (with_configs / "my.txt").write_text("".join(lines))
    main(
        [
            "translation",
            "--attentions",
            "additive",
            "--attends",
            "after",
            "--",
            "--data.pairs=my.txt",
            "--data.vocabulary_size=30",
            "--data.batch_size=5",
            "--model.network.hidden_size=4",
            "--model.network.embedding_size=4",
            "--model.objective.longest=5",
            "--trainer.max_epochs=1",
            "--trainer.log_every_n_steps=1",
            "--trainer.accelerator=cpu",
            "--tensorboard.figures_every_n_epochs=0",
        ]
    )
    found = sorted(file.name for file in (with_configs / "logs/experiments/translation").glob("*.png"))
    assert found == ["attention_after_1.png"]


def test_greedy_translations_are_tested_beside_those_with_beams(monkeypatch):
    def run(bleu):
        test = {"test/bleu": bleu, "test/perplexity": 10 * bleu}
        return Run(Path(), {"dataset": "made", "parameters": 3, "seconds": {"fit": 1.0}, "test": test})

    again = {0.25: run(0.125), 0.75: run(0.5)}
    monkeypatch.setattr(translation, "tested", lambda root, one, flag: again[one.results["test"]["test/bleu"]])
    found = translation.row(translation.SetUp("none", "after"), [run(0.25), run(0.75)], SimpleNamespace(output=Path()))
    assert (found["perplexity"], found["BLEU, greedy"], found["BLEU, beams"]) == (5.0, 0.31, 0.5)


def test_maps_side_by_side_are_of_networks_that_attend_at_the_same_time(monkeypatch):
    drawn = []
    monkeypatch.setattr(translation, "trained", lambda root, name, arguments: name)
    monkeypatch.setattr(translation, "row", lambda *_: {})
    monkeypatch.setattr(translation, "save_table", lambda *_: None)
    monkeypatch.setattr(translation, "draw", lambda runs, attends, options: drawn.append((attends, runs)))
    translation.run(
        SimpleNamespace(
            attentions=["additive", "none"], attends=["each_step", "after"], seeds=[4, 5], arguments=[], output=None
        )
    )
    assert drawn == [
        (attends, {attention: f"{attention}_{attends}_seed4" for attention in ("additive", "none")})
        for attends in ("each_step", "after")
    ]
