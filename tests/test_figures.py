"""Figures are pure functions: their texts and marks are looked at without a Trainer."""

import torch

from seqsum.figures import WRONG, plot_sums


def texts(figure):
    return [[text.get_text() for text in axes.texts] for axes in figure.axes]


def test_plot_sums_shows_signs_predictions_and_truth():
    images = [torch.rand(3, 28, 28), torch.rand(2, 28, 28)]
    predictions, targets = (
        [torch.tensor([4.0, -3, 2]), torch.tensor([9.0, 1])],
        [torch.tensor([4.0, -2, 2]), torch.tensor([9.0, 1])],
    )
    figure = plot_sums(images, predictions, "alternating", targets)
    assert texts(figure) == [
        ["+", "4", "4"],
        ["−", "✗ −3", "−2"],
        ["+", "2", "2"],
        ["+", "9", "9"],
        ["−", "1", "1"],
        [],
    ]
    colours = [axes.texts[1].get_color() == WRONG for axes in figure.axes if axes.texts]
    assert colours == [False, True, False, False, False]


def test_plot_sums_without_truth(tmp_path):
    figure = plot_sums([torch.rand(2, 28, 28)], [torch.tensor([4.0, 11])], "sum")
    assert texts(figure) == [["+", "4"], ["+", "11"]]
    figure.savefig(tmp_path / "sums.png")
    assert (tmp_path / "sums.png").stat().st_size > 1_000
