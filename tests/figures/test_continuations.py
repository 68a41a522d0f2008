"""Continued curves begin where they should, and errors are averaged as said."""

from __future__ import annotations

import pytest
import torch

from seqsum.figures.continuations import plot_continuations, plot_drift


def test_a_continuation_begins_where_the_given_samples_end():
    figure = plot_continuations(torch.zeros(1, 3), {"network": torch.ones(1, 2)}, [""], truth=torch.zeros(1, 5))
    lines = {line.get_label(): list(line.get_xdata()) for line in figure.axes[0].get_lines()}
    assert lines == {"truth": [1, 2, 3, 4, 5], "given": [1, 2, 3], "continued by the network": [4, 5]}


def test_the_middle_of_several_runs_is_the_geometric_mean():
    figure = plot_drift({"lstm": torch.tensor([[1.0, 2.0], [4.0, 8.0]])}, typical=0.7)
    (middle,) = [line for line in figure.axes[0].get_lines() if line.get_label() == "lstm"]
    assert middle.get_ydata() == pytest.approx([2, 4])
