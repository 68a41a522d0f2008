"""Words a second: both programs read the same words, and what is not installed is left out with a word."""

from __future__ import annotations

import json
from collections import Counter
from importlib.util import find_spec

import pytest
import torch

from seqsum.benchmarks import words
from seqsum.benchmarks.__main__ import main, make_parser

SHORT = ["words", "--rounds=2", "--warm-up=0", "--reviews=150", "--size=8", "--device=cpu"]


def test_a_row_a_contestant_with_what_it_read(here, capsys):
    main(SHORT)
    rows = json.loads((here / "logs/benchmarks/words.json").read_text())["rows"]
    names = ["seqsum", "seqsum, full softmax", *(["gensim"] if find_spec("gensim") else [])]
    rival = names[-1] if find_spec("gensim") else "seqsum"
    assert [(row["model"], row["what"]) for row in rows] == [(mode, name) for mode in words.MODES for name in names]
    for row in rows:
        read, trained = (int(row[name].replace(",", "")) for name in ("words read, 1/s", "words trained on, 1/s"))
        assert read >= trained > 0
        assert row["rounds"] == 2
        assert (row["speed"] == 1) == (row["what"] == rival)


def test_without_gensim_seqsum_runs_alone(here, monkeypatch, capsys):
    monkeypatch.setattr(words, "find_spec", lambda name: None)
    main(SHORT)
    rows = json.loads((here / "logs/benchmarks/words.json").read_text())["rows"]
    assert [row["what"] for row in rows] == 2 * ["seqsum", "seqsum, full softmax"]
    assert rows[0]["speed"] == 1 != rows[1]["speed"]
    assert "Without gensim, which is not installed: pip install gensim" in capsys.readouterr().out


@pytest.mark.parametrize("mode", words.MODES)
def test_both_read_the_same_words(mode):
    options = make_parser().parse_args([*SHORT, "--subsample=1e9"])
    data = words.make_data(mode, options)
    tables = words.take_tables(data, options.reviews)
    assert sum(len(table.rows) for table in tables) == 200, "whole batches"
    texts = words.texts_of(data, tables)
    found: Counter[str] = Counter()
    for table in tables:
        batch = data.gather(table)
        ids = batch.inputs[batch.mask] if mode == "skipgram" else batch.targets[batch.target_mask]
        found += Counter(data.vocabulary.words[number] for number in ids.tolist())
    assert found == Counter(word for text in texts for word in text)
    contestant = words.ours(data, tables, options, torch.device("cpu"))
    assert contestant.trained == contestant.read == found.total()
    if find_spec("gensim"):
        assert words.gensim_on(data, tables, options).trained == found.total()


def test_the_time_of_fewer_words_is_that_of_all(monkeypatch):
    monkeypatch.setattr(words, "seconds_of", lambda train, device: 3.0)
    assert words.Contestant(print, 200, 100).seconds(1_000, torch.device("cpu")) == 15


def test_a_review_is_needed(here, capsys):
    with pytest.raises(SystemExit):
        main([*SHORT, "--reviews=0"])
    assert "`--reviews` (=0) must be at least 1" in capsys.readouterr().err
