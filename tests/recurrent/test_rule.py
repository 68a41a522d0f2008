"""On a GPU, `auto` is the fastest backend at the nearest measured shape that can run the cell."""

import itertools
import json

import pytest
import torch

from seqsum import LSTM, GRUCell, LSTMCell, RNNCell
from seqsum.recurrent import backends, resolve_backend, rule, unroll
from seqsum.recurrent.rule import Point, Rule, find_rule, nearest, read_rule

FILES = sorted(rule.RULES.glob("*.json"))
LSTM_POINT = ("lstm", "float32", "training")


GPUS = itertools.count()


class OnGpu(torch.nn.Parameter):
    """Weight on the CPU that claims to be on a GPU."""

    device = torch.device("cuda", next(GPUS))


def to_gpu(cell):
    for name, weight in list(cell.named_parameters(recurse=False)):
        setattr(cell, name, torch.Tensor._make_subclass(OnGpu, weight.detach(), True))
    return cell


@pytest.fixture
def gpu(monkeypatch):
    """Fake a GPU with measurements of two LSTM shapes in float32, each with another fastest backend."""
    points = [
        Point(*LSTM_POINT, 128, 4, 128, ("triton", "bptt", "script")),
        Point(*LSTM_POINT, 16, 1024, 1024, ("script", "bptt", "triton")),
        Point("lstm", "float32", "inference", 128, 4, 128, ("bptt", "triton", "script")),
    ]
    monkeypatch.setattr(rule, "load_rules", lambda: (Rule("Any GPU", (9, 0), tuple(points)),))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Any GPU")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setitem(backends.KERNELS, "triton", lambda cell: "layer_norm" if cell.layer_norm else unroll)
    another_gpu(monkeypatch)


def another_gpu(monkeypatch):
    """Let weights be on another GPU: what is known of a device is kept."""
    monkeypatch.setattr(OnGpu, "device", torch.device("cuda", next(GPUS)))


def test_the_fastest_at_the_nearest_shape_runs(gpu):
    cell = to_gpu(LSTMCell(3, 128))
    assert resolve_backend(cell, "auto", batch=100, steps=5) == "triton"
    assert resolve_backend(to_gpu(LSTMCell(3, 800)), "auto", batch=16, steps=500) == "script"
    assert resolve_backend(cell, "bptt", batch=100, steps=5) == "bptt"


def test_training_and_inference_have_times_of_their_own(gpu):
    cell = to_gpu(LSTMCell(3, 128))
    with torch.no_grad():
        assert resolve_backend(cell, "auto", batch=128, steps=4) == "bptt"
    assert resolve_backend(cell, "auto", batch=128, steps=4) == "triton"


def test_what_can_not_run_the_cell_is_passed_over(gpu, monkeypatch):
    assert resolve_backend(to_gpu(LSTMCell(3, 128, layer_norm=True)), "auto", batch=128, steps=4) == "script"
    monkeypatch.setitem(backends.KERNELS, "triton", lambda cell: "no Triton here")
    assert resolve_backend(to_gpu(LSTMCell(3, 128)), "auto", batch=128, steps=4) == "bptt"


def test_without_a_measurement_that_applies_it_is_what_needs_none(gpu, monkeypatch):
    class Mine(LSTMCell):
        """May compute something else."""

    for cell in (RNNCell(3, 128), GRUCell(3, 128), LSTMCell(3, 128).to(torch.bfloat16)):
        assert resolve_backend(to_gpu(cell), "auto", batch=128, steps=4) == "bptt"
    assert resolve_backend(to_gpu(Mine(3, 128)), "auto", batch=128, steps=4) == "script"
    assert rule.fastest_backends(LSTMCell(3, 128), 128, 4) == ()  # on the CPU
    monkeypatch.setattr(rule, "load_rules", lambda: ())
    another_gpu(monkeypatch)
    assert resolve_backend(to_gpu(LSTMCell(3, 128)), "auto", batch=128, steps=4) == "bptt"


def test_a_size_that_is_not_known_counts_for_nothing(gpu):
    assert resolve_backend(to_gpu(LSTMCell(3, 100)), "auto") == "triton"
    assert resolve_backend(to_gpu(LSTMCell(3, 1000)), "auto") == "script"
    assert (
        resolve_backend(to_gpu(LSTMCell(3, 128)), "auto", batch=0, steps=1) == "triton"
    )  # an empty batch counts as small


def test_layers_and_unroll_ask_for_their_shape(monkeypatch):
    asked = []
    monkeypatch.setitem(backends.KERNELS, "native", lambda cell: "this is about GPUs")
    monkeypatch.setattr(
        backends, "fastest_backends", lambda cell, batch, steps: asked.append((batch, steps)) or ("script",)
    )
    layer = LSTM(3, 5, batch_first=True)
    layer(torch.randn(4, 7, 3))
    assert layer.last_backend == "script"
    unroll(layer.cells[0], torch.randn(6, 2, 3), [torch.randn(2, 5) for _ in range(2)])
    assert asked == [(4, 7), (2, 6)]


def test_the_nearest_shape_is_that_of_the_smallest_ratio():
    points = [Point(*LSTM_POINT, 4, 10, 10, ("bptt",)), Point(*LSTM_POINT, 64, 10, 10, ("triton",))]
    assert nearest(points, Point(*LSTM_POINT, 20, 10, 10)).backends == ("triton",)  # 3.2 times, not 5
    assert nearest(points, Point(*LSTM_POINT, 15, 10, 10)).backends == ("bptt",)
    both = [points[0], Point(*LSTM_POINT, 8, 10, 100, ("script",))]
    assert nearest(both, Point(*LSTM_POINT, 64, 10, 60)).backends == ("script",)  # all sizes matter
    assert nearest(points, Point("gru", *LSTM_POINT[1:], 4, 10, 10)).backends == ()


def test_a_device_has_its_own_rule_or_that_of_the_nearest_capability():
    rules = [
        Rule("A100", (8, 0), ()),
        Rule("RTX 4090", (8, 9), ()),
        Rule("H100", (9, 0), ()),
        Rule("B200", (10, 0), ()),
    ]
    names = {
        ("H100", (9, 0)): "H100",
        ("H200", (9, 0)): "H100",
        ("L40S", (8, 9)): "RTX 4090",
        ("A10", (8, 6)): "RTX 4090",
        ("RTX 5090", (12, 0)): "B200",
        ("T4", (7, 5)): "A100",
        ("A100", (9, 9)): "A100",  # the name takes precedence
    }
    assert {asked: find_rule(rules, *asked).device for asked in names} == names
    assert find_rule([], "H100", (9, 0)) is None


def test_there_is_a_rule():
    assert FILES
    assert [found.device for found in rule.load_rules()] == [read_rule(path).device for path in FILES]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_at_every_measured_point_the_choice_is_the_fastest_and_so_never_slower_than_script(path):
    found = json.loads(path.read_text())
    assert {"device", "capability", "measured", "versions", "command", "points"} <= found.keys()
    points = read_rule(path).points
    shapes = set()
    for point in found["points"]:
        asked = Point(*(point[name] for name in ("cell", "type", "mode", "batch", "steps", "hidden")))
        chosen = nearest(points, asked).backends
        assert point["ms"][chosen[0]] == min(point["ms"].values())
        assert sorted(chosen) == sorted(point["ms"])
        assert set(chosen) <= {"script", *backends.KERNELS}
        assert asked.cell in rule.NAMES.values()
        assert asked.mode in ("training", "inference")
        assert isinstance(getattr(torch, asked.type), torch.dtype)
        shapes.add(asked)
    assert len(shapes) == len(found["points"])  # no shape twice
