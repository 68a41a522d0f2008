"""Symbols that a network should recall."""

from __future__ import annotations

import torch

from seqsum.figures.recall import plot_recall


def test_only_symbols_that_should_have_been_recalled_are_marked_as_missed():
    blank, targets = 2, torch.tensor([[2, 0, 1]])
    chances = torch.eye(3)[torch.tensor([[0, 0, 0]])]  # wrong at the first step, which recalls nothing, and at the last
    figure = plot_recall(torch.full((1, 3), blank), chances, targets, blank)
    (missed,) = [line for line in figure.axes[0].get_lines() if line.get_marker() == "x"]
    assert list(missed.get_xdata()) == [2]
