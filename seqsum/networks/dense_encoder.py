"""A small DenseNet (Huang et al., 2017) as an encoder of images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seqsum.errors import check_sizes
from seqsum.networks.codebook import Activation, BatchNorm2d
from seqsum.networks.conv_encoder import strided_block
from seqsum.networks.image_encoders import VIEWS, Frozen, ImageEncoder, image_sizes


class DenseEncoder(ImageEncoder):
    """Dense blocks, in which every layer reads the maps of all layers before it, with transitions between them.

    With `x_0` the maps that enter a block, layer `l` adds `growth` maps to them (Huang et al., "Densely connected
    convolutional networks", CVPR 2017, equation 2):

        x_l = H_l([x_0, x_1, …, x_{l−1}])        H_l: batch normalisation, ReLU, 3×3 convolution
        block(x_0) = [x_0, x_1, …, x_L]          [ … ]: concatenation along the channels

    A transition normalises, mixes the maps by a 1×1 convolution into `compression` times as many, and averages 2×2
    pixels. So each block sees a quarter of the pixels of the one before, and gradients reach every layer directly.

    The stem is `ConvEncoder`'s strided one, which halves the image. The ending is `ConvEncoder`'s too, not the paper's
    average over all pixels: the linear layer may tell where in the image a stroke is.

    Args:
        blocks: Layers of each dense block, `L`.
        growth: Maps that each layer adds, `k` in the paper. The stem has twice as many.
        compression: Maps after a transition, as a share of those before it, `θ` in the paper.
        output_size, activation, dropout, image_size, views, start_from, frozen, in_channels: See `ConvEncoder`.

    Raises:
        ValueError: There are no blocks, a size is below one, the image is too small for the transitions,
            `compression` is outside (0, 1], `activation` is unknown, or `frozen` trains more layers than there are.
        InputError: `start_from` is no checkpoint, or contains another encoder; in `forward`, images of another size, or
            no images.
    """

    def __init__(
        self,
        blocks: Sequence[int] = (4, 4, 4),
        growth: int = 12,
        compression: float = 0.5,
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
        if len(blocks) == 0 or min(blocks) < 1:
            raise ValueError(f"`blocks` (={list(blocks)}) must be one or more numbers of at least 1")
        check_sizes(growth=growth)
        if not 0 < compression <= 1:
            raise ValueError(f"`compression` (={compression}) must be above 0 and at most 1")
        pixels = (rows + 1) // 2 >> (len(blocks) - 1)  # rows of the last block's maps
        if pixels < 1:
            raise ValueError(f"`blocks` (={list(blocks)}) halve the image of `image_size` (={rows}) too often")
        maps = 2 * growth
        parts: list[nn.Module] = [strided_block(colours, maps)]
        for place, layers in enumerate(blocks):
            if place > 0:
                before, maps = maps, max(1, int(compression * maps))
                parts.append(_transition(before, maps))
            parts.append(DenseBlock(maps, layers, growth))
            maps += layers * growth
        parts += [BatchNorm2d(maps), nn.ReLU()]
        numbers = maps * pixels**2
        super().__init__(parts, numbers, colours, rows, output_size, activation, dropout, views, start_from, frozen)


class DenseBlock(nn.Module):
    """Layers that each read the concatenation of the block's input and of all earlier layers' maps.

    Args:
        channels: Maps that enter, `C`.
        layers: Number of layers, `L`.
        growth: Maps that each layer adds, `k`.
    """

    def __init__(self, channels: int, layers: int, growth: int) -> None:
        super().__init__()
        read = [channels + place * growth for place in range(layers)]
        self.layers = nn.ModuleList(_layer(before, growth) for before in read)

    def forward(self, maps: Tensor) -> Tensor:
        """Map `(N, C, Y, X)` to `(N, C + L·k, Y, X)`, of which the first `C` maps are the input."""
        for layer in self.layers:
            maps = torch.cat([maps, layer(maps)], dim=1)
        return maps


def _layer(channels: int, growth: int) -> nn.Sequential:
    """Normalisation, ReLU, 3×3 convolution: `(N, C, Y, X) -> (N, k, Y, X)`."""
    # no bias, because the next layer's normalisation has one
    convolution = nn.Conv2d(channels, growth, kernel_size=3, padding=1, bias=False)
    return nn.Sequential(BatchNorm2d(channels), nn.ReLU(), convolution)


def _transition(channels: int, out_channels: int) -> nn.Sequential:
    """Normalisation, ReLU, 1×1 convolution, average of 2×2 pixels: `(N, C, Y, X) -> (N, C', Y/2, X/2)`."""
    convolution = nn.Conv2d(channels, out_channels, kernel_size=1, bias=False)
    return nn.Sequential(BatchNorm2d(channels), nn.ReLU(), convolution, nn.AvgPool2d(2))
