"""Figures of convolutions show each weight and each map in its place."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seqsum.figures.convolutions import plot_feature_maps, plot_filters, tile


def drawn(axes):
    """Pixels of a heat map, with NaN in the gaps."""
    return np.ma.filled(axes.images[0].get_array(), np.nan)


def test_tiles_stand_in_order_with_gaps_between():
    maps = torch.arange(12.0).view(3, 2, 2)
    expected = [
        [0, 1, np.nan, 4, 5],
        [2, 3, np.nan, 6, 7],
        [np.nan] * 5,
        [8, 9, *[np.nan] * 3],
        [10, 11, *[np.nan] * 3],
    ]
    np.testing.assert_array_equal(tile(maps, 2), np.array(expected))


def test_filters_of_grey_images_are_tiles():
    weights = torch.randn(10, 1, 3, 3, requires_grad=True)
    figure = plot_filters(weights)
    np.testing.assert_allclose(drawn(figure.axes[0]), tile(weights.detach()[:, 0], 8))
    assert figure.texts[0].get_text() == "10 filters"
    limit = figure.axes[0].images[0].get_clim()
    assert limit[0] == -limit[1] < 0


def test_filters_of_colours_are_shown_in_colour_around_grey():
    weights = torch.zeros(2, 3, 3, 3)
    weights[0, 2, 1, 1], weights[1, 0, 0, 0] = 4.0, -2.0
    pixels = plot_filters(weights).axes[0].images[0].get_array()
    assert pixels.shape == (3, 7, 3)
    np.testing.assert_allclose(pixels[1, 1], [0.5, 0.5, 1.0])
    np.testing.assert_allclose(pixels[0, 4], [0.25, 0.5, 0.5])
    np.testing.assert_allclose(pixels[:, 3], 1.0)  # the gap


@pytest.mark.parametrize(("count", "inputs", "size"), [(4, 6, 3), (20, 30, 3), (5, 8, 1)])
def test_deeper_filters_are_rows_and_what_they_read_are_columns(count, inputs, size):
    weights = torch.randn(count, inputs, size, size)
    figure = plot_filters(weights)
    pixels, step = drawn(figure.axes[0]), size + 1
    rows, columns = min(count, 16), min(inputs, 24)
    assert pixels.shape == (rows * step - 1, columns * step - 1)
    for row, column in ((0, 0), (2, 5), (rows - 1, columns - 1)):
        top, left = row * step, column * step
        np.testing.assert_allclose(pixels[top : top + size, left : left + size], weights[row, column])
    shown = [f"{few} of {many}" if many > few else f"{many}" for few, many in ((rows, count), (columns, inputs))]
    assert figure.texts[0].get_text() == f"rows: {shown[0]} filters · columns: {shown[1]} maps read"


def test_feature_maps_stand_beside_their_image():
    image, maps = torch.randn(3, 8, 8), torch.randn(40, 4, 4)
    figure = plot_feature_maps(image, maps)
    np.testing.assert_allclose(drawn(figure.axes[0]), tile(maps[:32], 8))
    assert figure.texts[0].get_text() == "32 of 40 maps"
    expected = (image - image.min()) / (image.max() - image.min())
    np.testing.assert_allclose(figure.axes[-1].images[0].get_array(), expected.permute(1, 2, 0), atol=1e-6)


def test_a_convolution_that_is_zero_can_be_drawn():
    for inputs in (1, 3, 5):
        plot_filters(torch.zeros(2, inputs, 3, 3)).canvas.draw()
    plot_feature_maps(torch.zeros(1, 5, 5), torch.zeros(3, 2, 2)).canvas.draw()


def test_tiles_need_not_be_square():
    pixels = tile(torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]]), per_line=8)
    assert np.array_equal(pixels, [[1, 2, np.nan, 3, 4]], equal_nan=True)
