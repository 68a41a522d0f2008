"""Eager and compiled steps are timed side by side, if they compute the same."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from seqsum.benchmarks import compiled
from seqsum.benchmarks.__main__ import main
from seqsum.benchmarks.timing import take_turns
from seqsum.figures.compiled import plot_compiled


def run(tmp_path):
    main(
        [
            *("compiled", "--sizes=1", "--rounds=2", "--warm-up=1", "--batch-size=4", "--device=cpu"),
            f"--output={tmp_path / 'out/steps.json'}",
        ]
    )
    return json.loads((tmp_path / "out/steps.json").read_text())["rows"]


def check(tmp_path, rows):
    assert [(row["parameters"], row["what"]) for row in rows] == [(1_800, "eager"), (1_800, "compiled")]
    assert all(row["ms"] > 0 for row in rows)
    assert (tmp_path / "out/steps.png").stat().st_size > 1_000


def test_both_are_timed_and_drawn(tmp_path, monkeypatch):
    """Without the compiler, which takes long."""
    monkeypatch.setattr(torch, "compile", lambda network: network)
    check(tmp_path, run(tmp_path))


@pytest.mark.slow
def test_both_are_timed_with_the_compiler(tmp_path):
    rows = run(tmp_path)
    check(tmp_path, rows)
    assert rows[1]["to compile, s"] > 0.5


def test_another_result_is_not_timed(tmp_path, monkeypatch):
    class Wrong(nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, batch):
            return 1.1 * self.network(batch)

    monkeypatch.setattr(torch, "compile", Wrong)
    with pytest.raises(AssertionError, match="compiled, the loss is"):
        run(tmp_path)


@pytest.mark.parametrize("before", [None, "cache"])
def test_the_compilers_cache_is_put_back(monkeypatch, before):
    name = "TORCHINDUCTOR_CACHE_DIR"
    monkeypatch.delenv(name, raising=False)
    if before:
        monkeypatch.setenv(name, before)
    with compiled.without_cache():
        assert compiled.os.environ[name] not in (None, before)
    assert compiled.os.environ.get(name) == before


@pytest.mark.parametrize(
    ("eager", "steps"),
    [
        ([0.3, 0.3, 0.3, 0.3], "100"),  # 20 s, of which each step saves 0.2
        ([0.1, 0.1, 0.1, 0.1], "–"),  # the rival itself
        ([0.09, 0.09, 0.3, 0.3], "–"),  # faster in half of the rounds: that is noise
        ([0.05, 0.05, 0.05, 0.05], "–"),
    ],
)
def test_compiling_pays_only_if_most_steps_are_faster(eager, steps):
    times = iter(eager)
    timing = take_turns({"eager": lambda: next(times), "compiled": lambda: 0.1}, "eager", len(eager))["compiled"]
    assert compiled.pays_after(20, timing) == steps


def test_the_figure_has_both_and_the_time_to_compile():
    rows = [
        {"parameters": 10**size, "what": what, "ms": size * factor, "to compile, s": 3.0 * (what == "compiled")}
        for size in (3, 4)
        for what, factor in (("eager", 2), ("compiled", 1))
    ]
    steps, compiling = plot_compiled(rows).axes
    assert {line.get_label(): list(line.get_ydata()) for line in steps.lines} == {"eager": [6, 8], "compiled": [3, 4]}
    assert [list(line.get_ydata()) for line in compiling.lines] == [[3, 3]]
