"""The figures of long sequences show the numbers that they are about."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba

from seqsum.figures import plot_causes, plot_codes, plot_increment_errors, plot_leaks, plot_length_curves, plot_long_run
from seqsum.figures.long_run import _by_step
from seqsum.figures.style import INK, WRONG


def test_increment_errors_are_shown_by_step_and_by_level():
    """An error of 0.1 in the first half, 0.3 in the second, where the level is 100."""
    errors = torch.full((5, 64), 0.1)
    errors[:, 32:] = -0.3
    sums = torch.zeros(5, 64)
    sums[:, 31:] = -100  # what the steps from the 33rd on add to
    by_step, by_level = plot_increment_errors(errors, sums).axes
    steps, values = by_step.lines[0].get_data()
    assert values[steps < 20] == pytest.approx(0.1)
    assert values[-1] == pytest.approx(0.3)
    levels, values = by_level.lines[0].get_data()
    assert (levels.min(), levels.max()) == (0, 100)
    assert values[levels == 0] == pytest.approx(0.1)
    assert values[levels == 100] == pytest.approx(0.3)


def test_the_long_run_shows_the_sums_and_the_units_that_follow_them_most():
    true = torch.arange(50.0)
    states = torch.stack([true * factor for factor in range(9)], dim=1)
    figure = plot_long_run(true + 1, true, states, torch.arange(8, -1, -1))
    above, below = figure.axes
    assert [line.get_ydata().tolist() for line in above.lines] == [true.tolist(), (true + 1).tolist()]
    assert [line.get_label() for line in below.lines] == [f"unit {unit}" for unit in (8, 7, 6, 2, 1, 0)]
    assert below.lines[0].get_ydata().tolist() == (8 * true).tolist()


@pytest.mark.parametrize("units", [1, 2, 5, 6, 7])
def test_no_unit_follows_twice(units):
    figure = plot_long_run(torch.zeros(3), torch.zeros(3), torch.zeros(3, units), torch.arange(units))
    names = [line.get_label() for line in figure.axes[1].lines]
    assert len(names) == len(set(names)) == min(units, 6)


def test_leaks_are_what_the_forget_gate_loses():
    gate = torch.tensor([0.9, 0.999, 1.0]).expand(4, 7, 3)
    x, y = plot_leaks(gate, torch.tensor([-1.0, 2.0, 0.5])).axes[0].lines[0].get_data()
    np.testing.assert_allclose(x, [0.1, 0.001, 1e-8], rtol=1e-4)
    assert y.tolist() == [1, 2, 0.5]


def test_codes_show_the_two_largest_shares_and_what_is_read_from_them():
    codes = torch.tensor([[0.1, 0.6, 0.3], [0.45, 0.0, 0.55]])
    figure = plot_codes(torch.rand(2, 28, 28), codes, torch.tensor([1, 0]), [[4, 9, 6.5], [1, 7, 3.25]])
    bars = [[bar.get_width() for bar in axes.patches] for axes in figure.axes if axes.patches]
    np.testing.assert_allclose(bars, [[0.6, 0.3], [0.55, 0.45]])
    colours = [[bar.get_facecolor() for bar in axes.patches] for axes in figure.axes if axes.patches]
    black, red = map(to_rgba, (INK, WRONG))
    assert colours == [[black, red], [red, black]]
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert texts == ["4.0", "9.0", "1.0", "7.0"]
    assert [text.get_text() for text in figure.texts] == ["mixture 6.50", "mixture 3.25"]


def test_length_curves_have_a_line_for_each_network_and_all_digits_read_right():
    shares = {"one": torch.tensor([0.99, 0.9]), "other": torch.tensor([1.0, 0.5])}
    (axes,) = plot_length_curves((1, 10), shares, 0.99).axes
    all_right, *lines = axes.lines
    np.testing.assert_allclose(all_right.get_ydata()[[0, -1]], [99, 100 * 0.99**10])
    assert {line.get_label(): line.get_ydata().round(4).tolist() for line in lines} == {
        "one": [99, 90],
        "other": [100, 50],
    }


def test_causes_are_drawn_side_by_side_for_each_network():
    """One network reads every digit as a number, the other every second one 0.4 off; its errors are twice as large."""
    sums = torch.arange(64.0).expand(5, 64)
    found = {
        "reads": (torch.arange(10.0), torch.full((5, 64), 0.1), sums),
        "mixes": (torch.tensor([1.0, 2.4, 3.0, 3.6]), torch.full((5, 64), -0.2), sums),
    }
    away, by_step, by_level = plot_causes(found).axes
    assert [line.get_label() for line in away.lines] == ["reads", "mixes"]
    distances, shares = away.lines[1].get_data()
    assert distances == pytest.approx([0.4, 0.4, 0, 0], abs=1e-6)
    assert shares.tolist() == [25, 50, 75, 100]
    for axes in (by_step, by_level):
        assert [line.get_ydata() for line in axes.lines] == [pytest.approx(0.1), pytest.approx(0.2)]


def test_the_middle_of_one_step_is_that_step():
    assert _by_step(torch.tensor([[3.0], [4.0]])) == ([1.0], [pytest.approx(12.5**0.5)])


def test_no_two_of_many_networks_are_drawn_alike():
    errors, sums = torch.rand(3, 20), torch.arange(20.0).expand(3, 20)
    found = {str(number): (torch.rand(10), errors, sums) for number in range(12)}
    for axes in plot_causes(found).axes:
        assert len({(line.get_color(), line.get_linestyle()) for line in axes.lines}) == 12
