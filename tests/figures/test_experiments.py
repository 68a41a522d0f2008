"""Figures of experiments: results beside published ones, by rung, by panel, and over a training."""

from __future__ import annotations

import numpy as np
import pytest

from seqsum.figures.comparison import plot_comparison
from seqsum.figures.copy_memory import plot_memory
from seqsum.figures.error_panels import plot_error_panels
from seqsum.figures.ladder import Rung, plot_ladder
from seqsum.figures.learning import smooth


def test_a_published_result_is_in_the_row_of_its_set_up():
    axes = plot_comparison({"a": [0.5], "b": [0.25], "c": [0.75]}, {"a": 0.5, "b": 0.25}, "accuracy").axes[0]
    crosses = [(*line.get_xdata(), *line.get_ydata()) for line in axes.get_lines() if line.get_marker() == "x"]
    assert crosses == [(50, 0), (25, 1)]


@pytest.mark.parametrize("name", ["a", "lstm_rows_with_a_rather_long_name learned → random"])
def test_names_of_set_ups_are_not_cut(name):
    figure = plot_comparison({name: [0.5], "b": [0.25]}, {}, "accuracy")
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert min(label.get_window_extent().x0 for label in axes.get_yticklabels()) >= 0
    assert axes.get_window_extent().width > 200


def test_padding_is_in_percent():
    *_, padding = plot_ladder({"a": Rung([0.5], 3.0, 0.25)}).axes
    assert [bar.get_width() for bar in padding.patches] == [25]


def test_guessing_is_drawn_as_its_error():
    axes = plot_error_panels({("a", 1, "b"): [0.9]}, "along", chance=0.1).axes[0]
    (guessing,) = [line for line in axes.get_lines() if line.get_label() == "guessing"]
    assert list(guessing.get_ydata()) == [90, 90]


def test_lines_go_through_the_mean_errors_of_runs():
    axes = plot_error_panels({("a", 1, "b"): [0.9, 0.7], ("a", 2, "b"): [0.5, 0.5]}, "along").axes[0]
    means, runs = axes.get_lines()
    assert list(means.get_ydata()) == pytest.approx([20, 50])
    assert list(runs.get_ydata()) == pytest.approx([10, 30, 50, 50])


def test_accuracies_of_recall_are_means_of_runs_with_their_range():
    axes = plot_memory([1, 4], {"lstm": [[0.5, 0.75], [1.0, 1.0]]}, chance=0.125).axes[0]
    means = next(line for line in axes.get_lines() if line.get_label() == "lstm")
    assert means.get_xydata().tolist() == [[1, 62.5], [4, 100]]
    assert [segment.tolist() for segment in axes.collections[0].get_segments()] == [
        [[1, 50], [1, 75]],
        [[4, 100], [4, 100]],
    ]


def test_smoothed_curves_have_no_ends_that_fall_to_zero():
    assert smooth([1.0] * 12) == pytest.approx(np.ones(4))
    assert smooth([1.0, 3.0]) == pytest.approx([2])
