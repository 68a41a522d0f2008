"""Plain modules that may be called without a state: what sequences begin from is checked, too."""

import pytest
import torch
from torch import nn

from seqsum.check import check_cell


class PlainGRU(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.W = nn.Linear(input_size, 3 * hidden_size)
        self.U = nn.Linear(hidden_size, 3 * hidden_size)

    def start(self, x):
        return torch.zeros(len(x), self.hidden_size)

    def forward(self, x, h=None):
        if h is None:
            h = self.start(x)
        r, z, n = self.W(x).chunk(3, 1)
        u, v, w = self.U(h).chunk(3, 1)
        r, z = torch.sigmoid(r + u), torch.sigmoid(z + v)
        n = torch.tanh(n + r * w)
        return (1 - z) * n + z * h


class Learned(PlainGRU):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.begun = nn.Parameter(torch.randn(hidden_size))

    def start(self, x):
        return self.begun.expand(len(x), -1)


class GoesOn(PlainGRU):
    last = None

    def forward(self, x, h=None):
        if h is None and self.last is not None and len(self.last) == len(x):
            h = self.last
        self.last = super().forward(x, h)
        return self.last


def judge(start, like="gru"):
    return check_cell(type("MyGRU", (PlainGRU,), {"start": start}), like=like)


@pytest.mark.parametrize(
    "start",
    [
        PlainGRU.start,
        lambda cell, x: x.new_zeros(x.shape[0], cell.hidden_size),
        lambda cell, x: torch.zeros(x.size(0), cell.hidden_size).to(x),
    ],
)
def test_zeros_however_they_are_made_are_right(start):
    report = judge(start)
    assert report.passed
    assert report.find("begins_alike").status == "passed"


class InDouble(PlainGRU):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.double()

    def start(self, x):
        return torch.zeros(len(x), self.hidden_size, dtype=torch.float64)


def test_a_module_begins_in_the_type_that_it_was_made_in():
    assert check_cell(InDouble, like="gru").passed
    torch.set_default_dtype(torch.float64)
    try:
        assert check_cell(PlainGRU, like="gru").passed
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (lambda cell, x: torch.ones(len(x), cell.hidden_size), "a sequence begins from other numbers than zero"),
        (lambda cell, x: torch.randn(len(x), cell.hidden_size), "a sequence begins from another state each time"),
        (lambda cell, x: torch.zeros(64, cell.hidden_size), "`forward` without a state raised RuntimeError"),
        (
            lambda cell, x: torch.zeros(len(x), cell.hidden_size).squeeze(0),
            "`forward` without a state raised IndexError",
        ),
        (lambda cell, x: torch.zeros(cell.hidden_size, len(x)), "`forward` without a state raised RuntimeError"),
        (lambda cell, x: None, "`forward` without a state raised "),
    ],
)
def test_a_start_of_ones_own_that_is_wrong_is_found(start, message):
    report = judge(start)
    assert not report.passed
    assert report.find("begins_alike").message.startswith(message)
    assert [result.check for result in report.results if result.status == "failed"] == ["begins_alike"]


def test_a_start_that_is_kept_for_the_first_number_of_rows_is_found():
    def start(cell, x):
        if not hasattr(cell, "kept"):
            cell.kept = torch.zeros(len(x), cell.hidden_size)
        return cell.kept

    result = judge(start).find("begins_alike")
    assert result.status == "failed"
    assert "`forward(input)` of 1 row" in result.example


def test_a_sequence_does_not_begin_where_another_has_ended():
    assert check_cell(GoesOn, like="gru").find("begins_alike").status == "failed"


@pytest.mark.parametrize("change", [lambda h: h[:1, :2], lambda h: (h, h, h), lambda h: None])
def test_the_result_has_the_same_form_without_a_state(change):
    def forward(cell, x, h=None):
        found = PlainGRU.forward(cell, x, h)
        return change(found) if h is None else found

    result = check_cell(type("MyGRU", (PlainGRU,), {"forward": forward}), like="gru").find("begins_alike")
    assert result.message == "`forward` without a state gives something else than with one"


@pytest.mark.parametrize("like", ["gru", None])
def test_learned_states_are_a_variant(like):
    report = check_cell(Learned, like=like)
    result = report.find("begins_alike")
    assert report.passed
    assert (result.status, result.message) == ("noted", "sequences begin from learned states")


def test_a_cell_that_is_held_against_none_may_begin_from_other_numbers():
    result = judge(lambda cell, x: torch.ones(len(x), cell.hidden_size), like=None).find("begins_alike")
    assert (result.status, result.message) == ("noted", "a sequence begins from other numbers than zero")
