"""How kernels are timed and checked, at tiny sizes on the CPU, and what is noted and left out."""

import argparse
import time
from types import SimpleNamespace

import pytest
import torch

from seqsum import GRU
from seqsum.benchmarks import recurrent
from seqsum.benchmarks.__main__ import main
from seqsum.benchmarks.gpu import contestants, kernels, replay, rule, step
from seqsum.benchmarks.gpu.contestants import TORCH, Arena, Case, Contestant, can_run, error_of, time_calls
from seqsum.benchmarks.gpu.replay import replay_seconds
from seqsum.benchmarks.gpu.results import Results, read
from seqsum.benchmarks.timing import Timing, seconds_of
from tests.benchmarks.gpu.tiny import CPU, SMALL, measure


def test_kernels_are_timed_and_checked_by_case_mode_and_precision(tiny, tmp_path):
    status, file = measure(tmp_path, "--parts", "kernels")
    assert status == 0
    assert (file["finished"], file["left_out"], file["errors"]) == (True, [], {})
    assert torch.__version__.startswith(file["machine"]["torch"])
    assert file["command"] == "python -m seqsum.benchmarks gpu --parts kernels --rounds 2"
    rows = file["rows"]
    found = {(row["cell"], row["H"], row["lengths"], row["mode"], row["what"], row["precision"]) for row in rows}
    expected = {
        (entry.case.cell, entry.case.shape.hidden, entry.case.lengths, mode, *contestant)
        for entry in kernels.plan()
        for contestant in entry.contestants
        for mode in ("forward", "both")
        if contestant.what != "triton" and contestant.precision != "tf32"
    }
    assert found == expected
    assert len(rows) == len(found)
    assert {row["lengths"] for row in rows} == {"full", "sorted", "unsorted"}
    assert {row["what"] for row in rows} == {TORCH, "bptt", "script"}
    for row in rows:
        assert 0 < row["lower"] <= row["ms"] <= row["upper"]
        assert row["right"]
        assert row["error"] < {"float32": 1e-6, "float16": 3e-3, "bfloat16": 3e-2}[row["precision"]]


def test_the_plan_has_the_shapes_and_precisions_of_the_claims():
    entries = kernels.plan()
    lstm = [entry for entry in entries if entry.case.cell == "lstm" and entry.case.lengths == "full"]
    assert [tuple(entry.case.shape) for entry in lstm] == [
        (128, 4, 128, 128),
        (128, 28, 28, 128),
        (32, 200, 64, 128),
        (64, 200, 64, 64),
        (64, 100, 256, 256),
        (64, 100, 512, 512),
        (16, 1024, 768, 768),
        (16, 1024, 1024, 1024),
    ]
    everything = {(what, p) for what in (TORCH, "triton") for p in ("float32", "tf32", "float16", "bfloat16")}
    for entry in lstm:
        assert everything <= set(entry.contestants)
        loops = {c.what for c in entry.contestants} - {TORCH, "triton"}
        assert loops == ({"bptt", "script"} if entry.case.shape.steps <= 300 else set())
    assert {entry.case.cell for entry in entries} == {"lstm", "gru", "rnn"}


def test_what_gives_wrong_numbers_is_named_and_is_no_contestant(tiny, tmp_path, monkeypatch):
    class Wrong(GRU):
        def forward(self, *arguments, **options):
            outputs, final = super().forward(*arguments, **options)
            return 2 * outputs, final

    monkeypatch.setitem(recurrent.CELLS, "gru", (torch.nn.GRU, Wrong))
    _, file = measure(tmp_path, "--parts", "rule")
    assert {point["cell"] for point in file["points"]} == {"lstm", "rnn"}
    right = {True: 0, False: 0}
    arena = Arena(Case("gru", SMALL), CPU)
    for mode in contestants.MODES:
        for what in (TORCH, "bptt"):
            contestant = Contestant(what, "float32")
            right[error_of(contestant, arena.call(contestant, mode), arena.exact(mode))[1]] += 1
    assert right == {True: 2, False: 2}


def test_not_a_number_is_wrong():
    arena = Arena(Case("rnn", SMALL), CPU)
    contestant = Contestant(TORCH, "float32")
    exact = arena.exact("forward")
    broken = [torch.full_like(result, float("nan")) for result in exact]
    assert error_of(contestant, lambda: broken, exact)[1] is False
    assert error_of(contestant, lambda: [exact[0], broken[1]], exact)[1] is False


def test_one_that_fails_is_noted_and_the_others_go_on(tiny, tmp_path, monkeypatch, capsys):
    call = Arena.call

    def fail():
        raise RuntimeError("out of registers")

    def sometimes(arena, contestant, mode):
        if contestant.what != "script":
            return call(arena, contestant, mode)
        return fail if mode == "forward" else fail()

    monkeypatch.setattr(Arena, "call", sometimes)
    status, file = measure(tmp_path, "--parts", "kernels")
    assert status == 1
    for mode in contestants.MODES:
        assert file["errors"][f"lstm (4, 3, 2, 5), {mode}: script, float32"] == "RuntimeError: out of registers"
    assert {row["what"] for row in file["rows"]} == {TORCH, "bptt"}
    assert "out of registers" in capsys.readouterr().out


@pytest.mark.parametrize("part", ["kernels", "rule"])
def test_what_there_is_no_time_for_is_left_out_and_named(part, tiny, tmp_path, capsys):
    status, file = measure(tmp_path, "--parts", part, "--seconds", "0")
    assert status == 0
    assert file["points" if part == "rule" else "rows"] == []
    assert len(file["left_out"]) == len(kernels.plan() if part == "kernels" else rule.cases())
    assert "lstm" in file["left_out"][0]
    main(["gpu", "--output", str(tmp_path), "--tables"])
    assert f"Left out for want of time: {len(file['left_out'])} cases, the first lstm" in capsys.readouterr().out


def test_a_run_that_is_killed_leaves_what_it_has(tmp_path):
    results = Results(tmp_path / "kernels.json", {"machine": {"device": "any"}})
    results.add({"cell": "lstm"})
    file = read(tmp_path, "kernels")
    assert (file["rows"], file["finished"]) == ([{"cell": "lstm"}], False)
    assert [path.name for path in tmp_path.iterdir()] == ["kernels.json"]
    with results.noting("the case that hangs"):
        assert read(tmp_path, "kernels")["at_work"] == "the case that hangs"
    results.leave_out("a case")
    results.finish()
    file = read(tmp_path, "kernels")
    assert (file["left_out"], file["finished"], file["machine"]) == (["a case"], True, {"device": "any"})


def test_there_are_three_rounds_at_least_and_no_more_than_fit(monkeypatch):
    monkeypatch.setattr(contestants, "seconds_of", lambda call, device: call())

    def rounds(seconds, at_most):
        (timing,) = time_calls({Contestant(TORCH, "float32"): lambda: seconds}, CPU, at_most, 0, seconds=0.5).values()
        return timing.n

    assert [rounds(seconds, 20) for seconds in (1.0, 0.25, 0.125, 0.0625, 0.001)] == [3, 3, 4, 8, 20]
    assert rounds(1.0, 2) == 2


def test_float32_is_multiplied_in_each_contestants_precision_also_when_it_warms_up(monkeypatch):
    monkeypatch.setattr(contestants, "seconds_of", lambda call, device: call())
    seen = []
    call = lambda: seen.append(torch.backends.cuda.matmul.allow_tf32) or 1.0  # noqa: E731
    both = {Contestant(TORCH, precision): call for precision in ("float32", "tf32")}
    for contestant in both:
        contestants.run(contestant, call)
    assert seen == [False, True]
    time_calls(both, CPU, rounds=1, warm_up=2, seconds=0.0)
    assert seen[2:] == [False] * 2 + [True] * 2 + 2 * [False, True]  # the first round says how many fit


def test_weights_and_inputs_are_the_same_numbers_in_every_precision():
    arena = Arena(Case("gru", SMALL), CPU)
    for tensor in (arena.inputs, arena.weight, *arena.module.parameters()):
        assert torch.equal(tensor, tensor.bfloat16().float())


def test_times_are_written_in_milliseconds(tmp_path):
    timing = Timing(5, 0.002, 0.001, 0.003, 1.0, 1.0, 1.0)
    row = kernels.describe(Case("gru", SMALL), "both", Contestant(TORCH, "tf32"), 1e-3, True, timing)
    assert [row[name] for name in ("lower", "ms", "upper", "rounds")] == [1.0, 2.0, 3.0, 5]
    results = Results(tmp_path / "step.json", {})
    step._add({"sleep": lambda: time.sleep(0.02)}, {}, argparse.Namespace(rounds=1, warm_up=0), CPU, results)
    assert 20 <= results.rows[0]["ms"] < 20_000


class Clock:
    """An event of a GPU whose work takes 40 ms."""

    def __init__(self, enable_timing):
        pass

    def record(self):
        HAPPENED.append("record")

    def elapsed_time(self, end):
        return 40.0


HAPPENED = []


@pytest.fixture
def clock(monkeypatch):
    HAPPENED.clear()
    monkeypatch.setattr(torch.cuda, "Event", Clock)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: HAPPENED.append("wait"))


def test_a_gpu_is_timed_by_its_own_clock(clock):
    assert seconds_of(lambda: HAPPENED.append("call"), torch.device("cuda")) == 0.04
    assert HAPPENED == ["wait", "record", "call", "record", "wait"]


def test_a_short_call_is_replayed_several_times_and_its_time_is_that_of_one(clock, monkeypatch):
    graph = SimpleNamespace(replay=lambda: HAPPENED.append("replay"))
    monkeypatch.setattr(replay, "capture", lambda call, device: graph)
    assert replay_seconds(lambda: None, torch.device("cuda"), estimate=0.004) == 0.02
    assert HAPPENED == 3 * ["replay", "record", "replay", "replay", "record", "wait"]


def test_there_is_no_tf32_on_a_cpu(monkeypatch):
    monkeypatch.setattr(contestants, "triton_obstacle", lambda cell: None)
    assert not can_run(Contestant(TORCH, "tf32"), "lstm", CPU)
    assert can_run(Contestant("triton", "bfloat16"), "lstm", CPU)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_replay_takes_no_longer_than_the_call():
    device = torch.device("cuda")
    matrix = torch.randn(256, 256, device=device)

    def call():
        product = matrix
        for _ in range(50):
            product = product @ matrix
        return product

    call()
    seconds = replay_seconds(call, device, 1e-3)
    begin = time.perf_counter()
    call()
    torch.cuda.synchronize()
    assert 0 < seconds < time.perf_counter() - begin
