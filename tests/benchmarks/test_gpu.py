"""The GPU benchmark on the CPU at tiny sizes: what it measures, notes, leaves out, writes and prints."""

import argparse
import io
import json
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from seqsum import GRU, LSTM
from seqsum.benchmarks import recurrent
from seqsum.benchmarks.__main__ import main
from seqsum.benchmarks.gpu import ahead, checks, command, contestants, fits, kernels, replay, rule, step
from seqsum.benchmarks.gpu.budget import Deadline, share
from seqsum.benchmarks.gpu.contestants import TORCH, Arena, Case, Contestant, can_run, error_of, time_calls
from seqsum.benchmarks.gpu.replay import replay_seconds
from seqsum.benchmarks.gpu.results import Results, read
from seqsum.benchmarks.gpu.tables import tables
from seqsum.benchmarks.recurrent import Shape
from seqsum.benchmarks.timing import Timing, seconds_of
from seqsum.data import Batch
from seqsum.module import SequenceModule
from seqsum.recurrent.kernels.triton import problem_with_triton
from seqsum.recurrent.rule import Point, nearest, read_rule
from tests.graphs.conftest import use_stand_in
from tests.graphs.stand_in import StandIn

CPU = torch.device("cpu")
SMALL, SMALLER = Shape(4, 3, 2, 5), Shape(2, 5, 3, 4)


@pytest.fixture
def tiny(monkeypatch):
    """Make the plan tiny, and leave out Triton, which would be interpreted."""
    monkeypatch.setattr(kernels, "SHAPES", [SMALL, SMALLER])
    monkeypatch.setattr(kernels, "OTHER_CELLS", [SMALL])
    monkeypatch.setattr(kernels, "VARIABLE", [SMALLER])
    monkeypatch.setattr(rule, "SIZES", [(2, 3, 4)])
    monkeypatch.setattr(rule, "FEW", 1)
    monkeypatch.setattr(contestants, "triton_obstacle", lambda cell: "left out here")


def measure(folder, *arguments):
    """Run the command in this process; return its exit status and the file of its one part."""
    options = ["--here", "--output", str(folder), "--rounds", "2", "--warm-up", "1", "--device", "cpu", *arguments]
    status = 0
    try:
        main(["gpu", *options])
    except SystemExit as error:
        status = error.code
    part = arguments[arguments.index("--parts") + 1]
    return status, json.loads((folder / f"{part}.json").read_text())


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


@pytest.fixture
def short(monkeypatch):
    """Limit trainings to two steps per epoch."""
    limits = [f"--trainer.limit_{split}_batches=2" for split in ("train", "val", "test")]
    small = ["--data.batch_size=4", "--trainer.log_every_n_steps=1", "--tensorboard.figures_every_n_epochs=0"]
    monkeypatch.setattr(fits, "OPTIONS", [*limits, *small])
    monkeypatch.setattr(fits, "EPOCHS", 2)


def train(how, tmp_path, root):
    results = Results(tmp_path / "step.json", {})
    how(argparse.Namespace(data_root=str(root)), CPU, results, Deadline(100))
    assert results.errors == {}
    return results.rows


def test_variants_of_the_training_say_how_fast_they_were(short, tmp_path, monkeypatch, mnist_root):
    monkeypatch.setattr(fits, "PRECISIONS", ("32",))
    clock, found = [], fits.found
    monkeypatch.setattr(
        fits, "found", lambda folder: clock.extend(json.loads((folder / fits.CLOCK).read_text())) or found(folder)
    )
    (row,) = train(fits.train_variants, tmp_path, mnist_root)
    assert [epoch["images"] for epoch in clock] == 4 * [2 * 4 * 4]  # of two batches of four sequences of four digits
    assert (row["name"], row["epochs"], row["dataset"]) == ("launch by launch, 32", 4, "mnist")
    assert row["images/s"] > 0


@pytest.mark.slow
def test_a_gpu_has_variants_with_graphs(short, tmp_path, monkeypatch, mnist_root):
    use_stand_in(monkeypatch)
    monkeypatch.setattr(fits, "OPTIONS", [*fits.OPTIONS, "--model.backend=bptt", "--trainer.limit_train_batches=6"])
    monkeypatch.setattr(fits, "variants", lambda device, of=fits.variants: of(torch.device("cuda")))
    named = [(row["name"], row["epochs"]) for row in train(fits.train_variants, tmp_path, mnist_root)]
    assert named == [
        *((f"as CUDA graphs, {what}", epochs) for what, epochs in (("bf16-mixed", 4), ("batch 1024", 10), ("DDP", 4))),
        *((f"launch by launch, {precision}", 4) for precision in ("32", "bf16-mixed")),
    ]
    assert StandIn.replayed > 3 * (4 + 10 + 4) * 4  # the first three steps, and those that are watched, have none
    assert not torch.distributed.is_initialized()


@pytest.mark.filterwarnings("default:Training steps run without CUDA graphs")
def test_a_training_that_has_no_graphs_is_not_taken_for_one_that_has(short, tmp_path, monkeypatch, mnist_root):
    monkeypatch.setattr(fits, "variants", lambda device: {"graphs": fits.Variant(["--model.cuda_graph=true"], 1)})
    results = Results(tmp_path / "step.json", {})
    fits.train_variants(argparse.Namespace(data_root=str(mnist_root)), CPU, results, Deadline(100))
    assert results.errors["training: graphs"].endswith("run without CUDA graphs, since the device is cpu.")
    assert results.rows == []


@pytest.mark.slow
def test_the_default_training_says_what_came_out(short, tmp_path, mnist_root):
    (row,) = train(fits.train_default, tmp_path, mnist_root)
    assert (row["name"], row["epochs"]) == ("default", 2)
    assert 0 < row["seconds of fit"] < row["seconds in all"]
    assert 0 <= row["test/exact_final"] <= 1


def test_a_training_that_fails_says_why(short, tmp_path, monkeypatch, mnist_root):
    monkeypatch.setattr(fits, "OPTIONS", ["--model.hidden_size=0"])
    monkeypatch.setattr(fits, "PRECISIONS", ("32",))
    results = Results(tmp_path / "step.json", {})
    fits.train_variants(argparse.Namespace(data_root=str(mnist_root)), CPU, results, Deadline(100))
    assert "`hidden_size` (=0) must be at least 1" in results.errors["training: launch by launch, 32"]


def test_speed_is_that_of_the_epochs_after_the_first(tmp_path):
    epochs = [{"images": 10, "seconds": s, "dataset": "mnist"} for s in (9, 1, 2, 5)]
    (tmp_path / fits.CLOCK).write_text(json.dumps(epochs))
    assert fits.found(tmp_path) == {"images/s": 5, "dataset": "mnist"}


REPOSITORY = {
    "pyproject.toml": """
        [tool.pytest.ini_options]
        markers = ["gpu: on a GPU", "slow: long"]
        """,
    "tests/recurrent/test_triton.py": """
        def test_right(): pass
        def test_wrong(): assert 1 == 2, "one is not two"
        def test_broken(no_such_fixture): pass
        """,
    "tests/conftest.py": """
        import pytest
        @pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
        def device(request): return request.param
        """,
    "tests/test_device.py": """
        def test_on(device): assert device == "cuda"
        """,
    "tests/test_browser.py": """
        import a_package_that_is_not_there
        """,
    "tests/test_other.py": """
        import pytest, time
        def test_not_marked(): assert False
        @pytest.mark.gpu
        def test_marked(): pass
        @pytest.mark.gpu
        @pytest.mark.slow
        def test_slow(): assert False
        @pytest.mark.gpu
        def test_skipped(): pytest.skip("needs a GPU")
        """,
}


def write_repository(folder, **files):
    for name, text in (REPOSITORY | files).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))


@pytest.mark.slow
def test_the_tests_that_use_a_gpu_run_and_say_what_failed(tmp_path, monkeypatch):
    write_repository(tmp_path / "repository")
    monkeypatch.setattr(checks, "ROOT", tmp_path / "repository")
    status, file = measure(tmp_path, "--parts", "tests", "--seconds", "60")
    assert status == 1
    of_kernels, marked = file["rows"]
    counts = ("passed", "failed", "errors", "skipped")
    assert [of_kernels[name] for name in counts] == [1, 1, 1, 0]
    assert [marked[name] for name in counts] == [2, 0, 0, 1]
    assert sorted(of_kernels["failures"]) == [
        f"tests.recurrent.test_triton::test_{name}" for name in ("broken", "wrong")
    ]
    assert "one is not two" in of_kernels["failures"]["tests.recurrent.test_triton::test_wrong"]
    text = tables(tmp_path)
    assert "| kernels | 1 | 1 | 1 | 0 |" in text
    assert "- tests.recurrent.test_triton::test_wrong: AssertionError: one is not two" in text


@pytest.mark.slow
@pytest.mark.parametrize("ignored", [False, True])
def test_tests_that_take_too_long_are_interrupted_and_report_what_they_have(tmp_path, monkeypatch, ignored):
    """Also where a shell runs the command in the background, which then ignores SIGINT."""
    endless = """
        import pathlib, time
        def test_right(): pass
        def test_endless():
            pathlib.Path("begun").touch()
            time.sleep(100)
        """
    write_repository(tmp_path, **{checks.KERNEL_TESTS: endless})
    monkeypatch.setattr(checks, "ROOT", tmp_path)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if ignored else signal.getsignal(signal.SIGINT)
    run, patience = checks.Run(tmp_path / "report", [checks.KERNEL_TESTS]), Deadline(60)
    signal.signal(signal.SIGINT, before)
    try:
        while not (tmp_path / "begun").exists() and not patience.passed():
            time.sleep(0.1)
        assert run.interrupt()
        run.wait(30)
    finally:
        run.end()
    row = run.row()
    assert (row["passed"], row["interrupted"]) == (1, True)


@pytest.mark.parametrize("row", [None, {"failed": 1, "errors": 0}, {"failed": 0, "errors": 1}])
def test_tests_that_fail_or_break_or_report_nothing_are_a_failure(row, tmp_path, monkeypatch):
    class Run:
        def __init__(self, place, arguments):
            pass

        def row(self):
            return row and {"passed": 1, "skipped": 0, "seconds": 1, "interrupted": False, "failures": {}, **row}

        def output(self):
            return "no such option"

        wait = interrupt = end = lambda *_: None

    monkeypatch.setattr(checks, "Run", Run)
    status, file = measure(tmp_path, "--parts", "tests")
    assert status == 1
    whats = ("kernels", "marked gpu")
    assert file["errors"] == ({} if row else dict.fromkeys(whats, "pytest left no report: no such option"))


def test_without_a_repository_it_says_where_the_tests_are(tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "ROOT", tmp_path / "site-packages")
    status, file = measure(tmp_path, "--parts", "tests")
    assert status == 1
    assert "the tests are in the repository and not in the package" in file["errors"]["tests"]


def test_the_repository_has_tests_for_a_gpu():
    assert (checks.ROOT / checks.KERNEL_TESTS).is_file()
    assert {"tests/recurrent/test_parity.py", "tests/benchmarks/test_gpu.py"} <= set(checks.marked_files())
    assert checks.KERNEL_TESTS not in checks.marked_files()


def test_every_test_that_needs_a_gpu_is_marked():
    """The command would not run a test without the marker."""
    skipped = "mark.skipif(not torch.cuda" + ".is_available()"
    texts = {path.name: path.read_text() for path in (checks.ROOT / "tests").rglob("*.py")}
    assert [name for name, text in texts.items() if text.count(skipped) > text.count("mark.gpu")] == []
    assert sum(text.count(skipped) for text in texts.values()) >= 2


def test_kernels_are_compiled_ahead_by_cell_size_and_precision(monkeypatch):
    monkeypatch.setattr(contestants, "triton_obstacle", lambda cell: None)
    found = ahead.tasks(["kernels", "rule", "step"], CPU)
    assert found[0] is ahead.train_once
    groups = {(task.args[0][0].cell, task.args[0][0].shape.hidden, task.args[1]) for task in found[1:]}
    assert len(groups) == len(found) - 1
    cases = {(case, task.args[1]) for task in found[1:] for case in task.args[0]}
    assert cases == {
        (entry.case, c.precision)
        for entry in kernels.plan()
        for c in entry.contestants
        if c.what == "triton" and c.precision != "tf32"
    } | set(rule.cases())
    assert ahead.tasks(["tests"], CPU) == []


def test_a_group_of_kernels_runs_in_both_modes(monkeypatch):
    ran = []
    monkeypatch.setattr(ahead, "run", lambda contestant, call: ran.append((contestant, len(call()))))
    monkeypatch.setattr(Arena, "call", lambda arena, contestant, mode: lambda: [arena.case, mode])
    ahead.run_cases([Case("gru", SMALL), Case("gru", SMALLER)], "float32", CPU)
    assert ran == [(Contestant("triton", "float32"), 2)] * 4


def succeed(device):
    assert device == CPU


def fail(device):
    raise RuntimeError("no such kernel")


@pytest.mark.slow
def test_processes_that_compile_say_what_they_have_done():
    assert ahead.Pool([succeed, fail, succeed], CPU, Deadline(100)).finish() == (
        "2 of 3 groups of kernels are compiled; the first that is not: RuntimeError: no such kernel"
    )


def test_tables_are_what_the_files_say(tmp_path):
    def row(mode, what, precision, ms, **more):
        shape = {"cell": "lstm", "B": 128, "T": 4, "F": 128, "H": 128, "lengths": "full", "mode": mode}
        return {**shape, "what": what, "precision": precision, "ms": ms, "right": True, "error": 1e-3, **more}

    results = Results(
        tmp_path / "kernels.json", {"machine": {"device": "Any GPU", "torch": "2.11"}, "date": "today", "command": "c"}
    )
    for found in (
        row("forward", TORCH, "float32", 0.3),
        row("forward", TORCH, "float16", 0.2, right=False),  # it is cuDNN's best all the same
        row("forward", "triton", "float32", 0.12, replay=0.0512),
        row("forward", "triton", "bfloat16", 0.1),
        row("forward", "triton", "tf32", 0.05, right=False, error=0.7),
        row("both", "triton", "float16", 0.05, right=False, error=None),
        row("both", TORCH, "float32", 1.5),
        row("both", "triton", "float32", 0.5),
    ):
        results.add(found)
    for what, why in (("first", "no\nregisters"), ("second", "no registers"), ("third", "no memory")):
        results.fail(what, why)
    text = tables(tmp_path)
    assert "- Failed 2 times, the first first: no registers\n- Failed 1 times, the first third: no memory" in text
    assert "### kernels: Any GPU, today\n`c`; torch 2.11.\n**It did not finish**, and was at: nothing." in text
    assert (
        "| lstm | 128, 4, 128, 128 | 0.2 (float16) / 1.5 (float32) | 0.1 (bfloat16) / 0.5 (float32) "
        "| 2.00 / 3.00 | 2.50 / 3.00 | torch.nn float16 (0.001), triton float16 (not finite), triton tf32 (0.7) |"
    ) in text
    times = "0.3 / 1.5 | 0.2 / – | 0.12 [0.0512] / 0.5 | 0.05 / – | – / 0.05 | 0.1 / – |"
    assert f"| lstm | 128, 4, 128, 128 | {times}" in text


def test_tables_of_a_rule_and_a_step(tmp_path):
    head = {
        "device": "Any GPU",
        "capability": [9, 0],
        "measured": "today",
        "versions": {"torch": "2.11"},
        "command": "c",
    }
    sizes = {"batch": 1, "steps": 2, "hidden": 3}
    results = Results(tmp_path / "rule.json", head, "points")
    results.add({"cell": "gru", "type": "float32", "mode": "training", **sizes, "ms": {"triton": 0.5, "bptt": 2.0}})
    results.add({"cell": "rnn", "type": "float32", "mode": "training", **sizes, "ms": {"bptt": 1.0}})
    results = Results(tmp_path / "step.json", {"machine": {"device": "Any GPU"}, "date": "today", "command": "c"})
    results.add(
        {"what": "training", "name": "default", "epochs": 20, "images/s": 5, "seconds in all": 9.5, "test/mae": 0.5}
    )
    results.add({"what": "training", "name": "other", "epochs": 4, "images/s": 7, "seconds in all": 1.5})
    results.add({"what": "gather alone", "batch": 128, "ms": 0.25})
    results.add({"what": "step", "batch": 1024, "cell": "lstm", "backend": "auto", "ms": 2.0, "images/s": 2048000})
    text = tables(tmp_path)
    assert "| gru | float32 | training | 1, 2, 3 | **0.5** | 2 |" in text
    assert "| rnn | float32 | training | 1, 2, 3 | – | **1** |" in text
    assert "| default | 20 | 5 | – | 9.5 | 0.5 |\n| other | 4 | 7 | – | 1.5 | – |" in text
    assert "| gather alone | 0.25 | – |\n| step, lstm by auto | – | 2 (2,048,000 images/s) |" in text


def test_without_files_there_are_no_tables(tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["gpu", "--output", str(tmp_path), "--tables"])
    assert exit_.value.code == 2
    assert f"error: `--output` (={tmp_path}) has no files of this benchmark" in capsys.readouterr().err


def test_a_device_that_torch_does_not_know_is_named(capsys):
    with pytest.raises(SystemExit):
        main(["gpu", "--device=foo"])
    assert "`--device` (=foo) can't be used" in capsys.readouterr().err


def test_parts_run_in_their_own_order_and_unknown_ones_are_refused(capsys):
    assert command.parts_from("step,tests") == ["tests", "step"]
    with pytest.raises(SystemExit):
        main(["gpu", "--parts", "tests,speed"])
    assert "'speed' is none of tests,kernels,rule,step" in capsys.readouterr().err


def test_what_a_part_spares_is_for_those_that_come(monkeypatch):
    weights = {"first": 1, "second": 2, "third": 1}
    assert share(40, "first", ["second", "third"], weights) == 10
    assert share(36, "second", ["third"], weights) == 24  # 4 of the first one's 10 were enough
    assert share(7, "third", [], weights) == 7


def test_every_part_has_a_process_and_its_share(tmp_path, monkeypatch):
    happened = []

    class Child:
        def __init__(self, part, options):
            self.part = part
            happened.append(f"start {part}")

        def run(self, seconds):
            happened.append(f"run {self.part}")
            assert seconds == pytest.approx({"kernels": 70, "step": 100}[self.part], abs=1)
            return int(self.part == "kernels")

        def end(self):
            happened.append(f"end {self.part}")

    monkeypatch.setattr(command, "Child", Child)
    monkeypatch.setattr(command, "WEIGHTS", {"kernels": 7, "step": 3})
    options = argparse.Namespace(parts=["kernels", "step"])
    assert command.run_apart(options, CPU, Deadline(100)) == 1
    assert happened == ["start kernels", "start step", "run kernels", "run step", "end kernels", "end step"]


def test_a_job_whose_time_is_up_leaves_no_part_behind(monkeypatch):
    ended = []

    class Child:
        def __init__(self, part, options):
            self.part = part

        def run(self, seconds):
            signal.raise_signal(signal.SIGTERM)

        def end(self):
            ended.append(self.part)

    monkeypatch.setattr(command, "Child", Child)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as caught:
        command.run_apart(argparse.Namespace(parts=["kernels", "step"]), CPU, Deadline(100))
    assert caught.value.code == 143
    assert ended == ["kernels", "step"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_part_that_nobody_tells_to_begin_does_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    with pytest.raises(SystemExit, match="1"):
        main(["gpu", "--here", "--told", "--parts=rule", "--device=cpu", f"--output={tmp_path}"])
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_was_still_importing_when_it_was_told_has_less_time(tmp_path, monkeypatch):
    left = []
    monkeypatch.setitem(command.PARTS, "rule", lambda options, device, results, deadline: left.append(deadline.left()))
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{time.monotonic() + 50}\n"))
    time.sleep(0.2)
    measure(tmp_path, "--told", "--parts", "rule")
    assert 40 < left[0] < 49.9


@pytest.mark.parametrize(
    ("code", "status"), [("p.wait()", -signal.SIGKILL), ("input()", 0), ("input(); raise SystemExit(3)", 3)]
)
def test_nothing_is_left_of_a_part_when_the_next_one_starts(monkeypatch, code, status):
    """Neither of one that hangs, nor of one that leaves a process of its own behind; what fails is noted."""
    monkeypatch.setattr(command, "GRACE", 0.0 if status < 0 else 60.0)
    real, started = subprocess.Popen, []

    def hang(given, **options):
        assert given[:5] == [sys.executable, "-m", "seqsum.benchmarks", "gpu", "--here"]
        start = "import subprocess; p = subprocess.Popen(['sleep', '100'], stdout=-3); print(p.pid, flush=True); "
        started.append(real([sys.executable, "-c", start + code], **options, stdout=subprocess.PIPE))
        return started[0]

    monkeypatch.setattr(subprocess, "Popen", hang)
    options = {"output": Path("out"), "data_root": "data", "device": "cpu", "rounds": 1, "warm_up": 0}
    child = command.Child("kernels", argparse.Namespace(**options))
    grandchild = int(started[0].stdout.readline())
    assert child.run(0.1) == int(status != 0)
    patience = Deadline(20)
    assert started[0].returncode == status
    left = Path(f"/proc/{grandchild}/stat")
    while left.exists() and left.read_text().split()[2] != "Z" and not patience.passed():  # Z: dead, not asked for
        time.sleep(0.05)
    assert not patience.passed()
    child.end()  # once more, as at the end of all parts


@pytest.mark.slow
def test_the_whole_command(tmp_path, monkeypatch, capfd):
    """Run one part in its process without any time, so that it leaves out all measurements."""
    monkeypatch.setattr(command, "GRACE", 300.0)  # on a busy machine, imports take longer than usual
    options = ["--output", str(tmp_path), "--parts", "rule", "--seconds", "0", "--device", "cpu"]
    main(["gpu", *options])
    assert read(tmp_path, "rule")["finished"]
    said = capfd.readouterr().out
    assert "rule: 0 s" in said
    assert "### rule: " in said


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


def test_the_default_network_is_compiled_ahead(monkeypatch):
    monkeypatch.setattr(ahead, "SequenceModule", lambda backend: SequenceModule())
    ahead.train_once(CPU)
