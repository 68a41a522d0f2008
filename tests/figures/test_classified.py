"""Figures of classified images: which text is where, and that colours are shown as they are."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from seqsum.figures.classified import as_picture, plot_classified
from seqsum.figures.style import GIVEN, INK, WRONG

CHANCES = torch.tensor([[0.7, 0.2, 0.1], [0.05, 0.05, 0.9]])


def texts(figure):
    return [(text.get_text(), text.get_color()) for text in figure.axes[0].texts]


def test_a_wrong_answer_has_a_cross_and_both_probabilities():
    figure = plot_classified(torch.rand(2, 1, 6, 6), CHANCES, ["a", "b", "c"], torch.tensor([1, 2]), note="two of two")
    assert texts(figure) == [
        ("two of two", INK),
        ("✗ a 0.700", WRONG), ("is b 0.200", GIVEN), ("c 0.900", INK), ("is c 0.900", GIVEN),
    ]  # fmt: skip


def test_a_users_files_are_named_instead_of_the_truth():
    figure = plot_classified(torch.rand(2, 1, 6, 6), CHANCES, ["a", "b", "c"], sources=["x.png", "$y.png"])
    assert texts(figure) == [("a 0.700", INK), ("x.png", GIVEN), ("c 0.900", INK), ("$y.png", GIVEN)]


def test_no_two_texts_overlap_and_nothing_is_cut_off():
    names = [f"a class with a long name, number {place}" for place in range(100)]
    chances = torch.rand(21, 100).softmax(-1)
    figure = plot_classified(torch.rand(21, 3, 6, 6), chances, names, torch.zeros(21))
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.axes[0].texts]
    width, height = renderer.get_canvas_width_height()
    for place, box in enumerate(boxes):
        assert box.x0 >= 0
        assert box.x1 <= width
        assert box.y0 >= 0
        assert box.y1 <= height
        assert not any(box.overlaps(other) for other in boxes[:place])


def test_colours_are_shown_as_they_are_and_grey_as_black_on_white():
    image = torch.rand(3, 4, 5)
    np.testing.assert_allclose(as_picture(image), image.permute(1, 2, 0))
    grey = torch.tensor([[[0.0, 1.0], [0.25, 0.5]]])
    np.testing.assert_allclose(as_picture(grey), np.array([[1, 0], [0.75, 0.5]])[..., None].repeat(3, -1))
