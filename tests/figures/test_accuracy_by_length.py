"""Groups by length hold every sequence once, and what is drawn of them is their share of right answers."""

from __future__ import annotations

import io
import itertools

import pytest
import torch

from seqsum.figures import binomial_interval
from seqsum.figures.accuracy_by_length import group_by_length, plot_accuracy_by_length


@pytest.mark.parametrize("count", [1, 2, 19, 40, 119, 500])
@pytest.mark.parametrize("longest", [1, 3, 400])
def test_groups_hold_every_sequence_once_and_are_in_order(count, longest):
    lengths = torch.randint(1, longest + 1, (count,), generator=torch.Generator().manual_seed(count))
    groups = group_by_length(lengths)
    assert torch.cat(groups).sort().values.tolist() == list(range(count))
    ends = [(int(lengths[places].min()), int(lengths[places].max())) for places in groups]
    assert all(before[1] < after[0] for before, after in itertools.pairwise(ends)), "equal lengths part"
    assert 1 <= len(groups) <= min(6, max(1, count // 20))


def test_groups_are_of_about_the_same_size():
    assert [len(places) for places in group_by_length(torch.randperm(600) + 1)] == [100] * 6


def test_what_is_drawn_is_the_share_of_right_answers_with_its_interval():
    lengths = torch.tensor([5] * 30 + [9] * 30)
    right = torch.tensor([True] * 27 + [False] * 3 + [True] * 15 + [False] * 15)
    axes = plot_accuracy_by_length(lengths, right).axes[0]
    points = next(line for line in axes.lines if line.get_marker() == "o")
    assert points.get_ydata().tolist() == pytest.approx([90, 50])
    low, high = binomial_interval(torch.tensor([27, 15]), torch.tensor([30, 30]))
    drawn = [segment[:, 1].tolist() for segment in axes.collections[0].get_segments()]
    assert drawn == [pytest.approx([100 * float(a), 100 * float(b)]) for a, b in zip(low, high, strict=True)]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["5\n30", "9\n30"]
    assert "all: 70.0 %" in [line.get_label() for line in axes.lines]
    assert axes.get_ylim()[0] <= 100 * float(low.min())


def test_the_line_of_all_weighs_groups_by_their_size():
    axes = plot_accuracy_by_length(torch.tensor([5] * 30 + [9] * 90), torch.arange(120) < 30).axes[0]
    assert "all: 25.0 %" in [line.get_label() for line in axes.lines]


def test_a_single_sequence_is_drawn():
    figure = plot_accuracy_by_length(torch.tensor([7]), torch.tensor([False]), unit="steps")
    assert figure.axes[0].get_xlabel().startswith("steps read")
    figure.savefig(io.BytesIO(), format="png")
