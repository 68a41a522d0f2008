"""The table of a test has a row for each step, unless there are too many."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from seqsum.callbacks import results
from seqsum.callbacks.results import TestReport, print_table
from seqsum.experiments.runs import finished


@pytest.mark.parametrize(("length", "expected"), [
    (0, []), (1, []), (2, [1, 2]), (32, list(range(1, 33))), (33, [*range(2, 33, 2), 33]),
    (100, list(range(4, 101, 4))),
    (1000, [*range(32, 1000, 32), 1000]),
])  # fmt: skip
def test_long_sequences_have_every_so_many_steps_in_the_table(length, expected, capsys):
    by_step = [math.nan, *(0.001 * step for step in range(2, length + 1))][:length]
    print_table(
        {"experiment": "sine", "dataset": "curves", "test": {"test/mse": 0.5}, "test_by_step": {"mse": by_step}}
    )
    rows = [line.split("│") for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    assert [row[1].strip() for row in rows] == [*(str(step) for step in expected), "all"]
    assert [row[2].strip() for row in rows[:-1]] == ["–" if step == 1 else f"{0.001 * step:.4f}" for step in expected]


def test_metrics_that_have_no_steps_stand_below_the_table(capsys):
    print_table(
        {
            **{"experiment": "mine", "dataset": "digits", "test_by_step": {"mae": [0.5]}},
            "test": {"test/mae": 0.5, "test/loss": 0.25, "test/bleu": 0.125},
        }
    )
    printed = capsys.readouterr().out
    assert "test/bleu 0.1250" in printed
    assert "test/loss" not in printed


def test_a_metric_may_have_fewer_steps_than_another(capsys):
    by_step = {"mae": [0.5, 0.25], "all_right": [0.75]}
    test = {f"test/{name}": 0.125 for name in by_step}
    print_table({"experiment": "mine", "dataset": "digits", "test_by_step": by_step, "test": test})
    rows = [line.split() for line in capsys.readouterr().out.replace("│", " ").splitlines()]
    assert ["1", "0.5000", "0.7500"] in rows
    assert ["2", "0.2500", "–"] in rows
    assert ["all", "0.1250", "0.1250"] in rows


def test_the_file_has_null_for_numbers_that_json_has_not(tmp_path, monkeypatch):
    found = {
        "test": {"test/loss": 0.5, "test/perplexity": math.inf},
        "test_by_step": {"mse": [math.nan, 0.25, -math.inf]},
    }
    report = TestReport("sine", 0, verbose=False)
    monkeypatch.setattr(TestReport, "_results", lambda *_: found)
    monkeypatch.setattr(results, "run_folder", lambda _: tmp_path)
    report.on_test_end(SimpleNamespace(is_global_zero=True, barebones=False), None)

    def refuse(name):
        raise AssertionError(name)

    written = json.loads((tmp_path / "results.json").read_text(), parse_constant=refuse)
    assert written == {
        "test": {"test/loss": 0.5, "test/perplexity": None},
        "test_by_step": {"mse": [None, 0.25, None]},
    }
    (tmp_path / "version_0").mkdir()
    (tmp_path / "results.json").rename(tmp_path / "version_0/results.json")
    read = finished(tmp_path).results["test"]
    assert read["test/loss"] == 0.5
    assert math.isnan(read["test/perplexity"])


def test_the_mean_training_step_is_timed_by_the_clock_and_the_processor(monkeypatch):
    """A step takes what lies between its start and its end, not what passes between steps."""
    report = TestReport("words", 0)
    read = iter(np.array([(10, 1), (12, 2), (50, 9), (56, 9.5)], dtype=float))
    monkeypatch.setattr(results, "clocks", lambda: next(read))
    for step in range(2):
        report.on_train_batch_start(None, None, None, step)
        report.on_train_batch_end(None, None, None, None, step)
    report.on_fit_end(None, None)
    assert report.seconds["training_step"] == 4
    assert report.seconds["training_step_of_processor"] == 0.75


def test_a_training_without_steps_has_no_time_of_a_step():
    report = TestReport("words", 0)
    report.on_fit_end(None, None)
    assert [*report.seconds] == ["fit"]


@pytest.mark.parametrize(("steps", "name"), [(0, "fit"), (7, "fit_after_resumption")])
def test_seconds_of_a_training_that_went_on_are_not_called_those_of_all(steps, name):
    report, trainer = TestReport("sum", 0), SimpleNamespace(global_step=steps)
    report.on_fit_start(trainer, None)
    report.on_train_start(trainer, None)
    report.on_fit_end(trainer, None)
    assert list(report.seconds) == [name]


def test_seconds_of_the_test_are_those_of_the_test(monkeypatch, tmp_path):
    now = [0.0]
    monkeypatch.setattr(results.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(TestReport, "_results", lambda *_: {})
    monkeypatch.setattr(results, "run_folder", lambda _: None)
    report, trainer = TestReport("sum", 0, verbose=False), SimpleNamespace(is_global_zero=True, barebones=False)
    report.on_fit_start(trainer, None)
    now[0] = 100
    report.on_test_start(trainer, None)
    now[0] = 107
    report.on_test_end(trainer, None)
    assert report.seconds["test"] == 7
