"""The slower checks: a right cell learns, and one that can't is told so; gradients, states and speed in numbers."""

import math

import pytest
import torch
from torch import nn

from seqsum import LSTMCell, RecurrentCell, check_cell
from seqsum.check import Fault, learning, speed
from seqsum.check.making import make_subject
from tests.check import styles

CELL = "c_new = f * c + i * g"


def test_a_right_cell_learns_and_everything_is_said_in_numbers(mutate):
    report = check_cell(mutate("lstm"), like="lstm", learn=True)
    assert report.passed, report
    learns = report.find("learns")
    assert "mean squared error after 300 updates: MyLSTM 0.0" in learns.message
    assert set(learns.data["curves"]["curves"]) == {"MyLSTM", "seqsum.LSTM"}
    assert "from 50 steps back" in (
        report.find("gradients_reach_back").came or report.find("gradients_reach_back").message
    )
    assert "|cell| at most" in report.find("states_bounded").message
    fast = report.find("fast").message
    assert "by the backend `script`" in fast
    assert "times the speed of torch.nn.LSTM" in fast
    assert "`native` can't run it: the kernels are for" in fast


def test_a_cell_that_reads_nothing_but_the_last_input_does_not_learn():
    class Forgetful(styles.OneMatrixRNN):
        def forward(self, input, hidden):
            hidden = torch.tanh(self.i2h(torch.cat((input, 1e-3 * hidden), 1)))
            return hidden, hidden

    result = check_cell(Forgetful, like="rnn", learn=True).find("learns")
    assert result.status == "failed"
    assert "it does not learn to add two numbers" in result.message


def test_a_cell_with_small_first_weights_learns_late(monkeypatch):
    class Small(styles.OneMatrixRNN):
        def __init__(self, input_size, hidden_size):
            super().__init__(input_size, hidden_size)
            nn.init.normal_(self.i2h.weight, std=0.01)

    subject = make_subject(Small, "rnn")
    said = learning.learns(subject)
    updates = len(subject.pictures["curves"]["x"])
    assert said.startswith(f"mean squared error after {updates:,} updates: Small 0.0")
    assert updates in (600, 900, 1200)
    assert {len(curve) for curve in subject.pictures["curves"]["curves"].values()} == {updates}
    monkeypatch.setattr(learning, "MOST", 300)
    with pytest.raises(Fault, match="does not learn"):
        learning.learns(subject)


def test_states_that_grow_without_bound_are_found():
    class Growing(styles.OneMatrixRNN):
        def forward(self, input, hidden):
            hidden = 1.5 * hidden + self.i2h(torch.cat((input, hidden), 1))
            return hidden, hidden

    report = check_cell(Growing, like="rnn", learn=True)
    assert "is no longer finite after" in report.find("states_bounded").message
    result = report.find("gradients_reach_back")
    assert result.status == "noted"
    assert "gradients explode" in result.message


def test_additions_are_those_of_the_two_marked_numbers():
    inputs, sums = learning.draw_additions(torch.Generator().manual_seed(0), 3)
    assert inputs[..., 1].sum(0).tolist() == [2.0] * learning.BATCH
    for row in range(learning.BATCH):
        marked = inputs[inputs[:, row, 1] == 1, row, 0]
        torch.testing.assert_close(marked.sum(), sums[row])
    assert inputs[..., 2].abs().max() == 0


def test_a_guess_is_off_by_the_variance_of_the_sums():
    generator = torch.Generator().manual_seed(0)
    sums = torch.cat([learning.draw_additions(generator, 2)[1] for _ in range(300)])
    assert (sums - 1).square().mean().item() == pytest.approx(learning.GUESS, rel=0.05)


@pytest.mark.parametrize(
    ("start", "end", "learns"), [(0.5, 0.08, True), (0.5, 0.09, False), (0.01, 0.09, False), (0.5, torch.nan, False)]
)
def test_a_cell_learns_if_its_last_errors_are_below_half_of_a_guess(monkeypatch, start, end, learns):
    monkeypatch.setattr(learning, "train", lambda *_: [start] * 280 + [end - 0.01, end + 0.01] * 10)
    subject = make_subject(LSTMCell(7, 5), None)
    if learns:
        assert learning.learns(subject).startswith(f"mean squared error after 300 updates: LSTMCell {end:.4f}")
    else:
        with pytest.raises(Fault, match="does not learn"):
            learning.learns(subject)


@pytest.mark.parametrize(
    ("factor", "word"), [(0.6, "vanish"), (0.9, None), (1.1, None), (1.3, "explode"), (math.nan, "explode")]
)
def test_gradients_that_fade_vanish_and_those_that_grow_explode(monkeypatch, factor, word):
    monkeypatch.setattr(learning, "gradients_by_distance", lambda *_: [7 * factor**k for k in range(100)])
    subject = make_subject(LSTMCell(7, 5), None)
    if word is None:
        assert learning.gradients_reach_back(subject).endswith(f"{factor**50:.1e} from 50 steps back")
    else:
        with pytest.raises(Fault, match=f"gradients {word} on their way back"):
            learning.gradients_reach_back(subject)


def test_the_step_after_which_a_state_is_not_finite_is_counted_from_one():
    class Bursting(RecurrentCell):
        def project(self, input):
            return input[..., :1]

        def step(self, projected, state):
            new = torch.where(state[0] < 3, state[0] + 1 + 0 * projected, torch.inf)
            return new, [new]

    with pytest.raises(Fault, match="the state `hidden` is no longer finite after 4 steps"):
        learning.states_bounded(make_subject(Bursting(7, 5), None))


def test_a_cell_that_takes_half_the_time_is_twice_as_fast(monkeypatch):
    monkeypatch.setattr(speed, "time_in_turn", lambda calls: [0.001, 0.002])
    said = speed.fast(make_subject(LSTMCell(7, 5), "lstm"))
    assert said.startswith("1.0 ms forwards and backwards by the backend")
    assert "2.00 times the speed of torch.nn.LSTM" in said


@pytest.mark.slow
def test_a_plain_module_is_told_what_would_make_it_faster():
    report = check_cell(nn.GRUCell, like="gru", learn=True)
    assert "by the backend `eager`" in report.find("fast").message
    assert "as a RecurrentCell, with `project` and `step`, it could be compiled" in report.find("fast").message


@pytest.mark.slow
def test_why_a_cell_runs_eagerly_is_said(mutate):
    cell = mutate("lstm", ("state: list[Tensor])", "state)"))
    assert "annotate `state: list[Tensor]`" in check_cell(cell, learn=True).find("fast").message


def test_times_are_medians_of_calls_in_turn(monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(speed.time, "perf_counter", lambda: float(next(clock)))
    calls = []
    assert speed.time_in_turn([lambda: calls.append("a"), lambda: (calls.append("b"), next(clock))]) == [1.0, 2.0]
    assert calls == ["a", "b"] * (speed.ROUNDS + 1)
