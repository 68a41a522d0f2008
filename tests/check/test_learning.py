"""The slower checks: a right cell learns, and one that can't is told so; gradients, states and speed in numbers."""

import pytest
import torch
from torch import nn

from seqsum import check_cell
from seqsum.check import learning, speed
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
