"""Gradients over time equal known values, and the command draws them."""

from __future__ import annotations

import argparse
import json

import pytest
import torch
from PIL import Image

from seqsum import LSTMCell, RNNCell
from seqsum.experiments.__main__ import main
from seqsum.experiments.gradients import CELLS, STARTS, Curve, gradients, lstm, measure, table
from seqsum.recurrent.unroll import Unroll

T, B, H = 9, 4, 5
READOUT = torch.tensor([0.3, -0.2, 0.5, -0.4, 0.1], dtype=torch.float64)


def open_rnn(recurrent):
    """All weights and inputs are positive, so all units are active and the network is linear."""
    cell = RNNCell(H, H, nonlinearity="relu").double()
    with torch.no_grad():
        cell.weight_ih.abs_()
        cell.weight_hh.copy_(recurrent * torch.eye(H))
    return cell


def positive_inputs(steps=T):
    return torch.rand(steps, B, H, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.1


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_gradient_shrinks_or_grows_by_the_weight_a_step(factor):
    by_distance, _, _, _ = gradients(open_rnn(factor), positive_inputs(), READOUT, 1e9)
    assert by_distance == pytest.approx([float(READOUT.abs().mean()) * factor**distance for distance in range(T)])


def test_clipping_scales_all_distances_by_one_factor():
    by_distance, clipped, before, after = gradients(open_rnn(2.0), positive_inputs(), READOUT, 5.0)
    assert after < before
    assert clipped == pytest.approx([value * after / before for value in by_distance], rel=1e-5)


def test_clipped_gradients_have_the_norm_of_the_threshold():
    cell = open_rnn(2.0)
    gradients(cell, positive_inputs(), READOUT, 5.0)
    norm = torch.stack([parameter.grad.norm() for parameter in cell.parameters()]).norm()
    assert float(norm) == pytest.approx(5.0, rel=1e-5)


def test_small_gradients_are_not_clipped():
    by_distance, clipped, before, after = gradients(open_rnn(0.5), positive_inputs(), READOUT, 100.0)
    assert before == after
    assert by_distance == clipped


def test_without_a_gradient_nothing_is_clipped():
    by_distance, clipped, before, after = gradients(open_rnn(0.5), -positive_inputs(), READOUT, 5.0)
    assert by_distance == clipped == [float(READOUT.abs().mean())] + [0.0] * (T - 1)
    assert before == after == 0


def test_weight_gradient_is_that_of_the_mean_loss_of_the_whole_loop():
    cell, inputs = LSTMCell(H, H).double(), torch.randn(T, B, H, dtype=torch.float64)
    _, _, before, _ = gradients(cell, inputs, READOUT, 1e9)
    cell.zero_grad()
    outputs, _ = Unroll(cell)(inputs, cell.initial_state(B, inputs))
    (outputs[-1] @ READOUT).mean().backward()
    assert before == pytest.approx(float(cell.weight_hh.grad.abs().mean()))


def options(**changed):
    return argparse.Namespace(**{"length": 40, "hidden_size": 16, "batch_size": 8, "networks": 2, "seed": 0,
                                 "threshold": 5.0} | changed)  # fmt: skip


def test_measured_curves_say_what_the_literature_says():
    curves = {name: {kind: measure(make, options()) for kind, make in kinds.items()} for name, kinds in CELLS.items()}
    relu = {start: curve.by_distance[30] / curve.by_distance[0] for start, curve in curves["RNN, ReLU"].items()}
    assert relu["random, large"] > 30  # explodes
    assert relu["random, small"] < relu["orthogonal"] < 1e-2  # vanish
    assert 0.05 < relu["identity"] < 1  # Le et al. (2015)
    lstm = [curves["LSTM"][f"forget bias {bias}"].by_distance[30] for bias in (0, 1, 3)]
    assert lstm[0] < lstm[1] < lstm[2]
    exploding = curves["RNN, ReLU"]["random, large"]
    assert exploding.by_length[-1] > 100 * exploding.by_length[0]
    assert exploding.by_length_clipped[-1] < 5 / H


@pytest.mark.parametrize(("start", "is_right"), [
    ("identity", lambda w: torch.equal(w, torch.eye(20))),
    ("orthogonal", lambda w: torch.allclose(w @ w.T, torch.eye(20), atol=1e-5)),
    ("random, small", lambda w: w.abs().max() < 20**-0.5 and w.std() > 0.1),
    ("random, large", lambda w: 0.35 < w.std() < 0.55),
])  # fmt: skip
def test_starts_are_what_they_are_called(start, is_right):
    torch.manual_seed(0)
    weight = torch.full((20, 20), 7.0)
    STARTS[start](weight)
    assert is_right(weight)


def test_the_forget_bias_is_that_of_the_forget_gate():
    cell = lstm(3, 4, 5)
    assert cell.bias_ih.tolist() == [0.0] * 5 + [3.0] * 5 + [0.0] * 10


def test_gradients_of_one_length_are_not_added_to_those_of_another():
    cell, inputs = LSTMCell(H, H).double(), torch.randn(T, B, H, dtype=torch.float64)
    gradients(cell, inputs[-2:], READOUT, 1e9)
    assert gradients(cell, inputs, READOUT, 1e9) == gradients(cell, inputs, READOUT, 1e9)


def test_what_is_clipped_stands_beside_what_is_not():
    curve = measure(CELLS["RNN, ReLU"]["random, large"], options(threshold=1e-3))
    for before, after in ((curve.by_distance, curve.by_distance_clipped), (curve.by_length, curve.by_length_clipped)):
        assert 0 < max(after) < min(1e-3, *before)


def test_the_table_has_distances_and_lengths_and_one_column_that_is_clipped():
    curve = Curve([1.0, 0.5, 0.25], [0.1, 0.05, 0.025], [2, 3], [4.0, 8.0], [0.4, 0.8])
    assert table({"LSTM": {"forget bias 1": curve}}, 5.0) == [
        {"cell": "LSTM", "start": "forget bias 1", "0 steps back": 1.0, "2 steps back": 0.25,
         "W_hh, T = 2": 4.0, "W_hh, T = 3": 8.0, "T = 3, clipped at 5": 0.8}
    ]  # fmt: skip


def test_command_prints_the_check_and_the_table_and_writes_figure_and_numbers(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main(["gradients", "--length=6", "--hidden-size=5", "--batch-size=2", "--networks=1"])
    printed = capsys.readouterr().out
    for reference in ("autograd", "kernel bptt", "numerical"):
        assert f"backward by hand against {reference}: largest difference" in printed
    assert "5 steps back" in printed
    folder = tmp_path / "logs/experiments/gradients"
    written = json.loads((folder / "gradients.json").read_text())
    assert len(written["rows"]) == 11
    assert {"RNN, ReLU", "RNN, tanh", "LSTM"} == {row["cell"] for row in written["rows"]}
    assert all(len(row["by_distance"]) == 6 and row["lengths"] == [2, 3, 5, 6] for row in written["rows"])
    assert written["settings"]["threshold"] == 5.0
    assert torch.__version__.startswith(written["machine"]["torch"])
    with Image.open(folder / "gradients.png") as image:
        assert image.width > 1.5 * image.height  # three columns, two rows


@pytest.mark.parametrize(("option", "message"), [
    ("--length=1", "`--length` (=1) must be at least 2"),
    ("--networks=0", "`--networks` (=0) must be at least 1"),
    ("--hidden-size=0", "`--hidden-size` (=0) must be at least 1"),
    ("--threshold=nan", "`--threshold` (=nan) must be above 0"),
])  # fmt: skip
def test_sizes_that_cannot_be_are_refused(option, message, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["gradients", option])
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err
