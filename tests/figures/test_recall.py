"""Symbols that a network should recall."""

from __future__ import annotations

import torch

from seqsum.figures.recall import plot_recall, plot_recall_by_place


def test_only_symbols_that_should_have_been_recalled_are_marked_as_missed():
    blank, targets = 2, torch.tensor([[2, 0, 1]])
    chances = torch.eye(3)[torch.tensor([[0, 0, 0]])]  # wrong at the first step, which recalls nothing, and at the last
    figure = plot_recall(torch.full((1, 3), blank), chances, targets, blank)
    (missed,) = [line for line in figure.axes[0].get_lines() if line.get_marker() == "x"]
    assert list(missed.get_xdata()) == [2]


def test_circles_are_at_the_symbols_read_not_at_blanks_or_the_delimiter():
    figure = plot_recall(
        torch.tensor([[1, 2, 3, 2]]), torch.eye(3)[torch.tensor([[2, 2, 2, 1]])], torch.tensor([[2, 2, 2, 1]]), 2
    )
    (read,) = [line for line in figure.axes[0].get_lines() if line.get_fillstyle() == "none"]
    assert read.get_xydata().tolist() == [[0, 1]]


def test_places_are_shares_of_the_sequences_that_recall_something_there():
    targets, answers = torch.tensor([[2, 0, 1], [2, 2, 0]]), torch.tensor([[2, 0, 0], [2, 2, 0]])
    (line,) = plot_recall_by_place(answers, targets, blank=2).axes[0].lines
    assert line.get_xydata().tolist() == [[1, 100], [2, 50]]
    (line,) = plot_recall_by_place(torch.full_like(answers, 2), targets, blank=2).axes[0].lines
    assert line.get_ydata().tolist() == [0, 0]
