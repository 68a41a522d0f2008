"""The rule that `auto` goes by, and the parts of a training step, at tiny sizes on the CPU."""

import argparse
from functools import partial

import pytest
import torch

from seqsum import LSTM
from seqsum.benchmarks.gpu import fits, rule, step
from seqsum.benchmarks.gpu.budget import Deadline
from seqsum.benchmarks.gpu.results import Results
from seqsum.data import Batch
from seqsum.recurrent.kernels.triton import problem_with_triton
from seqsum.recurrent.rule import Point, nearest, read_rule
from tests.benchmarks.gpu.tiny import CPU, measure


def test_the_rule_is_in_the_form_of_the_packages_own(tiny, tmp_path, monkeypatch, capsys):
    versions = {"device": "NVIDIA H100 80GB HBM3", "capability": [9, 0], "torch": "2.11", "python": "3.12"}
    monkeypatch.setattr(rule, "machine", lambda device: versions)
    measured, compare = [], rule.compare

    def note(arena, mode, given, *others):
        ((batch, steps, _, hidden), (precision,)) = arena.case.shape, {contestant.precision for contestant in given}
        name = {"forward": "inference", "both": "training"}[mode]
        measured.append((arena.case.cell, precision, name, batch, steps, hidden))
        return compare(arena, mode, given, *others)

    monkeypatch.setattr(rule, "compare", note)
    status, file = measure(tmp_path, "--parts", "rule")
    assert status == 0
    assert {"device", "capability", "measured", "versions", "command"} <= file.keys()
    assert f"cp {tmp_path}/rule.json seqsum/recurrent/rules/nvidia_h100_80gb_hbm3.json" in capsys.readouterr().out
    found = read_rule(tmp_path / "rule.json")
    assert (found.device, found.capability) == ("NVIDIA H100 80GB HBM3", (9, 0))
    assert len(found.points) == 3 * 3 * 2  # cells, types, modes
    assert [point[:6] for point in found.points] == measured
    assert {point.type for point in found.points} == {"float32", "bfloat16", "float16"}
    assert {point.mode for point in found.points} == {"training", "inference"}
    for point, line in zip(found.points, file["points"], strict=True):
        assert set(point.backends) == {"bptt", "script"}
        assert line["ms"][point.backends[0]] == min(line["ms"].values())
        assert nearest(found.points, Point(*point[:3], 3, 3, 4)) == point


def test_parts_of_a_step(tmp_path, monkeypatch, mnist_root):
    monkeypatch.setattr(step, "BATCHES", (4,))
    monkeypatch.setattr(step, "RECURRENCES", [("lstm", "auto"), ("torch_lstm", "auto")])
    monkeypatch.setattr(step, "CALL", (2, 4, 3, 3))
    monkeypatch.setattr(fits, "train_default", lambda *_: None)
    monkeypatch.setattr(fits, "train_variants", lambda *_: None)
    augmented, gather = [], step.DigitSums.gather
    monkeypatch.setattr(
        step.DigitSums, "gather", lambda data, batch: augmented.append(data.augment) or gather(data, batch)
    )
    status, file = measure(tmp_path, "--parts", "step", "--data-root", str(mnist_root))
    assert status == 0
    assert (augmented.count(False), augmented.count(True)) == (3, 3 + 1)  # and the batch of the other parts
    assert all(row["batch"] == 4 and 0 < row["lower"] <= row["ms"] <= row["upper"] for row in file["rows"])
    parts = {(row["what"], row.get("cell")) for row in file["rows"]}
    assert parts == {
        *((what, None) for what in ("next(loader)", "transfer", "gather and warp", "gather alone")),
        *(("forward and backward", cell) for cell in ("lstm", "torch_lstm")),
        *(("step", cell) for cell in ("lstm", "torch_lstm")),
        *((what, "lstm") for what in ("encoder, forward", "metrics", "clipping", "AdamW")),
        *((what, cell) for what in ("call, forward", "call, forward and backward") for cell in ("lstm", "torch_lstm")),
    }
    time_of = {(row["what"], row.get("cell")): row["ms"] for row in file["rows"]}
    assert time_of["encoder, forward", "lstm"] < time_of["step", "lstm"]


def test_without_time_everything_is_left_out_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr(fits, "train_default", lambda *_: None)
    monkeypatch.setattr(fits, "train_variants", lambda *_: None)
    results = Results(tmp_path / "step.json", {})
    step.measure(argparse.Namespace(data_root="data", rounds=1, warm_up=0), CPU, results, Deadline(0))
    assert results.rows == []
    assert results.left_out == [
        *(f"a call of {cell}" for cell in step.CALLED), *(f"a step at batch {size}" for size in step.BATCHES)
    ]  # fmt: skip


def test_a_whole_step_clips_and_trains_and_its_graph_says_how_fast(tmp_path, monkeypatch):
    batch = Batch(torch.rand(2, 3, 1, 28, 28), 50 + torch.rand(2, 3))
    whole = step.Step(batch, "lstm", "auto")
    before = [weight.detach().clone() for weight in whole.parameters]
    whole.whole()
    assert not any(torch.equal(*pair) for pair in zip(before, whole.parameters, strict=True))
    assert torch.stack([weight.grad.norm() for weight in whole.parameters]).norm() < 1.01
    monkeypatch.setattr(step, "replay_seconds", lambda call, device, estimate: 0.25)
    results = Results(tmp_path / "step.json", {})
    step._time_graph(batch, "lstm", results)
    assert [(row["ms"], row["images/s"]) for row in results.rows] == [(250, 24)]


def test_a_call_is_timed_without_what_it_launches(tmp_path, monkeypatch):
    if problem := problem_with_triton():
        pytest.skip(problem)
    from seqsum.recurrent.kernels.triton import compiled  # Triton may not be there

    started = []
    monkeypatch.setattr(compiled, "INTERPRETED", True)
    monkeypatch.setattr(compiled.Launch, "__call__", lambda *_: started.append(1))
    monkeypatch.setattr(step, "CALL", (2, 4, 3, 3))
    monkeypatch.setitem(step.CALLED, "lstm", partial(LSTM, backend="triton"))
    results = Results(tmp_path / "step.json", {})
    options = argparse.Namespace(rounds=4, warm_up=0)
    step._time_call("lstm", options, CPU, results)
    names = ["call, forward", "call, forward and backward"]
    assert [row["what"] for row in results.rows] == [*names, *(f"{name}, not launched" for name in names)]
    assert len(started) == 1 + 4 * (1 + 2)  # the first call says which backend it has
