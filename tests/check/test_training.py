"""What a cell does wrong in training alone is found, and what is meant to be another there is left."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from seqsum import check_cell
from tests.check import styles


class Cell(styles.JointLinears):
    """A right LSTM, whose subclasses change its hidden state in training."""

    def forward(self, x, hx):
        return super().forward(x, (self.changed(hx[0]) if self.training else hx[0], hx[1]))

    def changed(self, hidden):
        return hidden


class Detached(Cell):
    def changed(self, hidden):
        return hidden.detach()


class WithoutGradient(Cell):
    def forward(self, x, hx):
        with torch.set_grad_enabled(not self.training):
            return super().forward(x, hx)


class InPlace(Cell):
    def changed(self, hidden):
        return hidden.mul_(0.9)


class Another(Cell):
    def changed(self, hidden):
        return 0.5 * hidden


class Remembering(Cell):
    last = 0

    def changed(self, hidden):
        changed = hidden + self.last
        self.last = 0.1 * hidden.detach().mean()
        return changed


class Dropped(Cell):
    def changed(self, hidden):
        return nn.functional.dropout(hidden, 0.3)


class Spectral(Cell):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        spectral_norm(self.candidate)


@pytest.mark.parametrize(
    ("cell", "check", "says", "line"),
    [
        (Detached, "same_in_training", "gradient of state `hidden` is wrong: `detach()` cuts", "hidden.detach()"),
        (WithoutGradient, "same_in_training", "gradient of input is wrong", "self.training"),
        (InPlace, "changes_nothing", "`state[0]`, hidden is changed in place in training", "hidden.mul_(0.9)"),
        (Another, "same_in_training", "in training a step computes something else than in evaluation", "self.training"),
        (Remembering, "same_in_training", "in training the cell remembers something", "self.training"),
    ],
)
def test_what_is_wrong_in_training_alone_is_found(cell, check, says, line):
    report = check_cell(cell, like="lstm")
    assert [result.check for result in report.results if result.status == "failed"] == [check], report
    assert says in report.find(check).message
    assert line in report.find(check).where


def test_a_cell_of_its_own_may_compute_something_else_in_training():
    result = check_cell(Another).find("same_in_training")
    assert result.status == "noted"


@pytest.mark.parametrize(
    ("cell", "says"), [(Cell, ""), (Dropped, "draws random numbers in training"), (Spectral, "changes buffers")]
)
def test_what_is_meant_to_be_another_in_training_is_left(cell, says):
    result = check_cell(cell).find("same_in_training")
    assert result.status == "passed"
    assert says in result.message
