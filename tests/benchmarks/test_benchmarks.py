"""The benchmarks measure what they claim, and refuse contestants that compute something else."""

import itertools
import json
import logging
import math
import re
import subprocess
from argparse import Namespace
from functools import partial
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import torch

from seqsum import LSTM, RNN, RNNCell
from seqsum.benchmarks import devices, loading, recurrent, scaling, timing, training
from seqsum.benchmarks.__main__ import main
from seqsum.benchmarks.precision import float32_products
from seqsum.benchmarks.recurrent import RIVAL, Shape, check_same_numbers, contestants
from seqsum.benchmarks.timing import Timing, peak_memory, take_turns, time_in_turn
from seqsum.data.base import Batch
from seqsum.tables import show
from tests.recurrent.oracles import BACKENDS

CPU = torch.device("cpu")
SMALL = Shape(3, 5, 2, 4)


def test_contestants_take_turns_and_are_compared_round_by_round():
    order = []

    def contestant(name, seconds):
        return lambda: order.append(name) or seconds[order.count(name) - 1]

    found = take_turns({"rival": contestant("rival", [1, 2, 4]), "ours": contestant("ours", [0.5, 1, 1])}, "rival", 3)
    assert order == ["rival", "ours", "ours", "rival", "rival", "ours"]
    assert (found["rival"].median, found["rival"].speed) == (2, 1)
    assert (found["ours"].n, found["ours"].median, found["ours"].speed) == (3, 1, 2)
    assert found["ours"].lower_quartile <= found["ours"].median <= found["ours"].upper_quartile


def test_calls_are_timed_when_they_are_warm():
    order = []
    calls = {name: partial(order.append, name) for name in "ab"}
    assert time_in_turn(calls, "a", rounds=2, warm_up=2, device=CPU)["b"].n == 2
    assert "".join(order) == "aabb" + "ab" + "ba"


def test_a_row_has_the_time_in_milliseconds():
    assert timing.row(Timing(3, 0.002, 0.001, 0.003, 1.504, 1.0, 2.0)) == {
        "ms": 2.0,
        "quartiles, ms": "1 to 3",
        "speed": 1.5,
    }


def test_peak_memory_counts_what_lives_at_the_same_time():
    def call():
        first = torch.ones(1000)
        second = first + 1
        del first
        return second + 1  # at most two of the three at a time

    assert 8_000 <= peak_memory(call, CPU) < 9_000


@pytest.mark.parametrize("cell", recurrent.CELLS)
@pytest.mark.parametrize("mode", ["forward", "both"])
@pytest.mark.parametrize("variable", [False, True])
def test_all_contestants_compute_the_same(cell, mode, variable):
    backends = list(BACKENDS)
    calls = contestants(cell, SMALL, mode, torch.float64, backends, CPU, variable)
    assert list(calls) == [RIVAL, *(["torch.nn, padded"] if variable else []), *(f"seqsum, {b}" for b in backends)]
    check_same_numbers(calls, 1e-10)
    assert len(calls[RIVAL]()) == (6 if mode == "both" else 3 if cell == "lstm" else 2)


def test_triton_is_a_contestant_on_a_gpu_alone(monkeypatch):
    assert recurrent.default_backends("lstm", torch.float32, CPU) == list(BACKENDS)  # interpreted or not
    assert recurrent.default_backends("lstm", torch.bfloat16, CPU) == list(BACKENDS)
    for name, layer_class in (("lstm", LSTM), ("rnn", RNN)):  # made on the CPU, in place of a GPU
        monkeypatch.setitem(recurrent.CELLS, name, (None, lambda *sizes, _class=layer_class, **_: _class(*sizes)))
    monkeypatch.setattr(recurrent, "triton_obstacle", lambda cell: "" if isinstance(cell, RNNCell) else None)
    cuda = torch.device("cuda")
    assert recurrent.default_backends("lstm", torch.float32, cuda) == ["eager", "script", "bptt", "triton"]
    assert recurrent.default_backends("rnn", torch.float32, cuda) == ["eager", "script", "bptt"]


def test_a_contestant_that_computes_something_else_is_refused(monkeypatch):
    class Wrong(LSTM):
        def forward(self, *arguments, **options):
            outputs, final = super().forward(*arguments, **options)
            return 1.001 * outputs, final

    monkeypatch.setitem(recurrent.CELLS, "lstm", (torch.nn.LSTM, Wrong))
    calls = contestants("lstm", SMALL, "both", torch.float64, ["eager"], CPU)
    with pytest.raises(AssertionError, match=r"seqsum, eager differs from torch.nn by 0\.00"):
        check_same_numbers(calls, 1e-10)


def test_a_difference_is_the_largest_one_relative_to_the_largest_number():
    assert recurrent.difference(torch.tensor([0.0, 9.0, 8.0]), torch.tensor([0.0, 8.0, 8.0])) == 1 / 8
    assert recurrent.difference(torch.tensor([0.25, 0.0]), torch.tensor([0.5, 0.0])) == 0.25


def test_exponent_is_the_slope_of_the_logarithms():
    assert scaling.exponent([1, 2, 4, 8], [3 * n**1.5 for n in (1, 2, 4, 8)]) == pytest.approx(1.5)
    assert math.isnan(scaling.exponent([5], [1.0]))


def run(monkeypatch, tmp_path, capsys, *arguments):
    monkeypatch.chdir(tmp_path)
    main([*arguments, "--rounds", "2", "--warm-up", "1", "--device", "cpu"])
    text = capsys.readouterr().out
    written = json.loads((tmp_path / "logs/benchmarks" / f"{arguments[0]}.json").read_text())
    assert torch.__version__.startswith(written["machine"]["torch"])
    assert written["machine"]["threads"] == torch.get_num_threads()
    return written["rows"], text


def test_recurrent(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(recurrent.SHAPES, "main", SMALL)
    monkeypatch.setitem(recurrent.LENGTHS_SHAPES, "lengths_50", SMALL)
    options = ["--shapes", "main", "lengths_50", "--cells", "gru", "--dtypes", "float32", "bfloat16", "float16"]
    rows, text = run(monkeypatch, tmp_path, capsys, "recurrent", *options)
    assert len(rows) == 3 * (6 + 4 * len(BACKENDS))
    assert {row["type"] for row in rows} == {"float32", "bfloat16", "float16"}
    assert all(row["ms"] > 0 and row["speed"] > 0 and row["MB"] > 0 for row in rows)
    assert "seqsum, bptt" in text
    assert "variable lengths" in rows[-1]["mode"]


def test_tf32_has_a_name_and_a_bound_of_its_own(monkeypatch):
    bounds = []
    monkeypatch.setattr(recurrent, "check_same_numbers", lambda calls, bound: bounds.append(bound))
    monkeypatch.setitem(recurrent.SHAPES, "main", SMALL)
    arguments = Namespace(backends=["eager"], rounds=1, warm_up=0, precision="tf32")
    rows = [
        row["type"]
        for name in ("float32", "float16")
        for row in recurrent.compare(name, "gru", "main", "forward", arguments, CPU)
    ]
    assert rows == ["tf32", "tf32", "float16", "float16"]
    assert bounds == [recurrent.TOLERANCE["tf32"], recurrent.TOLERANCE["float16"]]


def test_float32_is_multiplied_as_asked(monkeypatch):
    monkeypatch.setattr(recurrent, "compare", lambda *_: [torch.backends.cuda.matmul.allow_tf32])
    given = {"dtypes": ["float32"], "cells": ["gru"], "shapes": ["main"], "modes": ["both"]}
    with float32_products("tf32"):
        assert recurrent.run(Namespace(**given, precision="ieee"), CPU) == [False]


def test_each_contestant_has_its_own_memory(monkeypatch):
    monkeypatch.setattr(recurrent, "peak_memory", lambda call, device: 1e6 * len(call()))
    monkeypatch.setattr(recurrent, "contestants", lambda *_, **__: {RIVAL: lambda: "1", "ours": lambda: "22"})
    monkeypatch.setattr(recurrent, "check_same_numbers", lambda *_: None)
    arguments = Namespace(backends=["eager"], rounds=1, warm_up=0, precision="ieee")
    found = recurrent.compare("float32", "gru", "main", "forward", arguments, CPU)
    assert [(row["what"], row["MB"]) for row in found] == [(RIVAL, 1), ("ours", 2)]


def test_tf32_is_refused_where_there_is_none(capsys):
    with pytest.raises(SystemExit):
        main(["recurrent", "--device", "cpu", "--precision", "tf32"])
    assert "error: `--precision` (='tf32') needs a CUDA device: cpu" in capsys.readouterr().err


def test_scaling(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(scaling, "BASE", SMALL)
    rows, _ = run(
        monkeypatch, tmp_path, capsys, "scaling", "--factors", "1", "4", "--backends", "bptt", "--launches", "0"
    )
    assert [(row["axis"], row["size"]) for row in rows[::2]] == [
        ("T", 5),
        ("T", 20),
        ("B", 3),
        ("B", 12),
        ("H", 4),
        ("H", 16),
    ]
    for row in rows:
        assert 0 < row["memory ~ size^"] < 2.5


def test_rows_with_other_keys_have_a_table_of_their_own(capsys):
    show("both", [{"first": 1}, {"first": 2}, {"second": 30, "third": 0.5}])
    _, one, other = capsys.readouterr().out.split("both")  # the title of each
    assert "first" in one
    assert "second" not in one
    assert "first" not in other
    assert {"second", "third", "30", "0.5"} <= set(re.findall(r"[\w.]+", other))


def test_what_workers_made_ahead_is_not_timed(monkeypatch):
    monkeypatch.setattr(loading, "PAUSE", 0)
    now, taken = [0.0], []

    def batches():
        for number in itertools.count():
            now[0] += 1
            taken.append(number)
            yield Batch(torch.zeros(1, 1), torch.zeros(1, 1))

    monkeypatch.setattr(loading.time, "perf_counter", lambda: now[0])
    assert loading.stopwatch(batches, batches=5, ahead=4)() == 5
    assert len(taken) == 9


def test_devices_train_on_sequences_of_one_length(monkeypatch, tmp_path):
    commands = []

    def run(command, **_):
        commands.append(command)
        return SimpleNamespace(returncode=1, stderr="enough")

    monkeypatch.setattr(devices.subprocess, "run", run)
    with pytest.raises(RuntimeError, match="enough"):
        devices.seconds_an_image(2, Namespace(batches=3, batch_size=7, root=str(tmp_path)), CPU)
    root = f"--data.root={tmp_path.resolve()}"
    assert {"--data.batch_size=7", "--data.sequence_length=4", "--trainer.devices=2", root} <= set(commands[0])


def test_devices_are_all_there_are_by_powers_of_two(monkeypatch):
    for cores, counts in ((1, [1, 2]), (2, [1, 2]), (4, [1, 2, 4]), (6, [1, 2, 4, 6])):
        monkeypatch.setattr("os.cpu_count", lambda n=cores: n)
        assert devices.default_counts(CPU) == counts
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert devices.default_counts(torch.device("cuda")) == [1]


def test_efficiency_is_the_speed_of_a_device_among_others_by_its_speed_alone(monkeypatch):
    speeds = {1: 100.0, 2: 180.0, 4: 200.0}
    monkeypatch.setattr(devices, "seconds_an_image", lambda n, arguments, device: 1 / speeds[n])
    rows = devices.run(Namespace(devices=[4, 2], launches=2), CPU)
    assert [tuple(row.values()) for row in rows] == [
        ("devices", 1, 100, 100, 1.0),
        ("devices", 2, 180, 90, 0.9),
        ("devices", 4, 200, 50, 0.5),
    ]


def test_the_first_epoch_does_not_count(tmp_path):
    metrics = tmp_path / "metrics.csv"
    metrics.write_text("epoch,train/images_per_second\n0,10.0\n0,\n1,70.5\n1,\n")
    assert devices.images_a_second(metrics) == 70.5
    metrics.write_text("epoch,train/images_per_second\n0,10.0\n")
    with pytest.raises(ValueError, match="speeds of 1 epochs"):
        devices.images_a_second(metrics)


@pytest.mark.slow
def test_scaling_trains_on_one_device_and_on_two(monkeypatch, tmp_path, capsys, mnist_root):
    """The oracle is the launched command: as many processes as the row says, each with its own batches."""
    monkeypatch.setattr(scaling, "BASE", SMALL)
    launched, launch = [], subprocess.run

    def launch_and_keep(command, **options):
        done = launch(command, **options)
        launched.append((command, done.stderr))
        return done

    monkeypatch.setattr(subprocess, "run", launch_and_keep)
    options = ["--root", str(mnist_root), "--batches", "3", "--batch-size", "4", "--devices", "1", "2"]
    options += ["--launches", "1", "--factors", "1", "--backends", "bptt"]
    rows, text = run(monkeypatch, tmp_path, capsys, "scaling", *options)
    found = [row for row in rows if row["axis"] == "devices"]
    assert [row["size"] for row in found] == [1, 2]
    assert found[0]["images/s"] == found[0]["images/s a device"] > 0
    assert found[1]["images/s"] == pytest.approx(2 * found[1]["images/s a device"], abs=2)
    assert ["MEMBER: 2/2" in stderr for _, stderr in launched] == [False, True]
    assert "efficiency" in text


def test_all_loaders_are_compared_with_one_without_workers_whichever_are_asked_for(monkeypatch):
    batches = itertools.repeat(Batch(torch.zeros(1, 1), torch.zeros(1, 1)))
    monkeypatch.setattr(loading, "PAUSE", 0)
    monkeypatch.setattr(loading, "make_data", lambda *_: None)
    monkeypatch.setattr(loading, "own_batches", lambda *_: batches)
    monkeypatch.setattr(loading, "plain", lambda *_: batches)
    given = Namespace(workers=[2, 1], batches=1, batch_size=1, sequence_length=1, rounds=1, warm_up=0)
    rows = [row for row in loading.run(given, CPU) if row["augmented"] == "True"]
    assert [row["what"] for row in rows] == ["seqsum", *(f"DataLoader, {n} workers" for n in range(3))]
    assert rows[1]["speed"] == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:THIS IS NOT MNIST")
@pytest.mark.parametrize("benchmark", ["loading", "training"])
def test_data_and_training(benchmark, monkeypatch, tmp_path, capsys, mnist_root):
    monkeypatch.setattr(training.loading, "PAUSE", 0)
    options = ["--root", str(mnist_root), "--batches", "2", "--batch-size", "4", "--workers", "0"]
    log = logging.getLogger("lightning.pytorch")
    before = log.level
    rows, text = run(monkeypatch, tmp_path, capsys, benchmark, *options)
    assert log.level == before  # and not that of what was timed in silence
    assert {row["augmented"] for row in rows} == {"True", "False"}
    assert all(row["images/s"] > 0 for row in rows)
    assert "seqsum" in text
    if benchmark == "training":
        with_keras = [row["augmented"] for row in rows if row["what"] == training.KERAS]
        assert with_keras == (["False"] if find_spec("tensorflow") else [])
        assert ("Without Keras: TensorFlow is not installed" in text) == (not with_keras)
        of_part, of_all = ([row["ms"] for row in rows if row["what"] == w] for w in (training.CONVOLUTIONS, "seqsum"))
        assert all(0 < part < whole for part, whole in zip(of_part, of_all, strict=True))


def test_convolutions_alone_are_those_of_a_training_step(monkeypatch, mnist_root):
    """The oracle is torch's profiler: a step and the contestant call the same convolutions with the same shapes."""
    arguments = Namespace(root=str(mnist_root), sequence_length=2, batch_size=4, batches=1)
    data, module = training.loading.make_data(arguments, augment=False), training.same_modules()["seqsum"]
    alone = training.convolutions_alone(module, data, arguments, CPU)

    def step():
        batch = data.gather(training.random_rows(data, arguments.batch_size, CPU))
        module.objective.loss(module(batch), batch).backward()

    def convolutions(call):
        with torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CPU], record_shapes=True, acc_events=True
        ) as profile:
            call()
        names = ("aten::convolution", "aten::convolution_backward")
        events = [event for event in profile.events() if event.name in names]
        return sorted((event.name, str(event.input_shapes)) for event in events)

    assert convolutions(alone) == convolutions(step)
    assert len(convolutions(alone)) == 6
