"""The default encoder of images: convolutions that halve the image, then one linear layer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from torch import nn

from seqsum.errors import check_choice, check_sizes
from seqsum.networks.codebook import Activation, BatchNorm2d
from seqsum.networks.image_encoders import VIEWS, Frozen, ImageEncoder, image_sizes

Stem = Literal["strided", "pooled"]


class ConvEncoder(ImageEncoder):
    """Convolutional blocks that each halve the image, then one linear layer.

    Blocks pool before they normalise, so that normalisation runs on a quarter of the pixels.

    Args:
        channels: Output channels of each block; its convolutions are 3×3, except for a strided stem.
        stem: How the first block halves the image. On the full image it costs as much as all others
            together: `strided`, 5×5 with stride 2, is cheaper; `pooled` reads slightly better.
        depth: Convolutions per block; the stem always has one.
        output_size: Features per image, `F`.
        activation: Activation of the features: `choice`, a codebook that chooses one feature for every image, see
            `Codebook`; `softmax` over all `F`, a soft codebook in which a clear image activates one feature; or
            `relu`. Between a 4 and a 9, readings from ReLU features slide through the numbers between, which are all
            wrong; readings from a codebook jump. `logits` are what a codebook takes the softmax of: they train its
            codes as classes, see `StepNetwork`.
        dropout: Probability of dropping a flattened feature before the linear layer.
        image_size: Pixel rows and columns of the square input. On the command line it follows the data, if they know
            it; 28 otherwise.
        views: In evaluation, how often to look at an image, each time slightly warped; features are averaged before
            their activation. That reads better and takes as many times as long. Training looks once.
        start_from: Checkpoint of another training, whose encoder's weights this one starts from.
        frozen: Which layers stay as they start, always in evaluation, while the rest of the network learns: `all` (or
            true), `none` (or false), or all but so many at the end. A layer is a block, or the linear layer with what
            its activation learns. A training refuses layers that stay without `start_from` or weights that you have
            loaded; to keep random ones, call `freeze`.
        in_channels: Colours of an image, `C`. On the command line it follows the data, if they know it; 1 otherwise.

    Raises:
        ValueError: There are no channels, a size is below one, the image is too small for the halvings, or
            `stem` or `activation` is unknown, or `frozen` trains more layers than there are.
        InputError: `start_from` is no checkpoint, or contains another encoder; in `forward`, images of another size, or
            no images.
    """

    def __init__(
        self,
        channels: Sequence[int] = (16, 32, 64),
        stem: Stem = "strided",
        depth: int = 1,
        output_size: int = 128,
        activation: Activation = "choice",
        dropout: float = 0.0,
        image_size: int | None = None,
        views: int = VIEWS,
        start_from: str | None = None,
        frozen: Frozen = "none",
        in_channels: int | None = None,
    ) -> None:
        colours, rows = image_sizes(in_channels, image_size)
        if len(channels) == 0 or min(channels) < 1:
            raise ValueError(f"`channels` (={list(channels)}) must be one or more numbers of at least 1")
        check_sizes(depth=depth)
        check_choice("stem", stem, Stem)
        first = (rows + 1) // 2 if stem == "strided" else rows // 2
        pixels = first >> (len(channels) - 1)  # rows of the last convolution's output
        if pixels < 1:
            raise ValueError(f"`channels` (={list(channels)}) halve the image of `image_size` (={rows}) too often")
        blocks = [strided_block(colours, channels[0]) if stem == "strided" else _block(colours, channels[0])]
        for below, above in pairwise(channels):
            blocks += [_block(below, above, halve=depth == 1)]
            blocks += [_block(above, above, halve=k == depth) for k in range(2, depth + 1)]
        numbers = channels[-1] * pixels**2
        super().__init__(blocks, numbers, colours, rows, output_size, activation, dropout, views, start_from, frozen)


def _block(in_channels: int, out_channels: int, halve: bool = True) -> nn.Sequential:
    """Convolution, pooling if `halve`, normalisation, ReLU: `(N, C, Y, X) -> (N, C', Y/2, X/2)` or `(…, Y, X)`."""
    # no bias, because batch normalisation has one
    convolution = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False)
    pooling = [nn.MaxPool2d(2)] if halve else []
    return nn.Sequential(convolution, *pooling, BatchNorm2d(out_channels), nn.ReLU())


def strided_block(in_channels: int, out_channels: int) -> nn.Sequential:
    """Halve the image as `_block` does, but by a stride: the convolution runs at a quarter of the places."""
    convolution = nn.Conv2d(in_channels, out_channels, kernel_size=5, stride=2, padding=2, bias=False)
    return nn.Sequential(convolution, BatchNorm2d(out_channels), nn.ReLU())
