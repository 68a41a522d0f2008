"""An autoencoder: an encoder of images, and a small decoder that makes images of its features."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from seqsum.data.base import Batch
from seqsum.errors import check_sizes
from seqsum.networks.codebook import BatchNorm2d
from seqsum.networks.conv_encoder import ConvEncoder
from seqsum.networks.encoders import Encoder
from seqsum.networks.image_encoders import image_sizes
from seqsum.networks.time_distributed import TimeDistributed


class Autoencoder(nn.Module):
    """Encodes images and decodes the features: pixels in, pixels out (Hinton & Salakhutdinov, 2006).

    It has fewer features than an image has pixels, so it must find out what images have in common. Other networks may
    then start from its encoder.

    Args:
        encoder: Maps an image to `encoder.output_size` features; by default a `ConvEncoder` whose features have no
            activation.
        channels: Maps of the decoder, each of twice as many rows and columns as those before.
        image_size: Pixel rows and columns of the square image. On the command line it follows the data, if they know
            it; 28 otherwise.
        in_channels: Colours of an image, `C`. On the command line it follows the data, if they know it; 1 otherwise.

    Raises:
        ValueError: There are no channels, or a size is below one.
    """

    output_size = 1  # one number for each of the targets, which are pixels
    encoder: TimeDistributed

    def __init__(
        self,
        encoder: Encoder | None = None,
        channels: Sequence[int] = (64, 32, 16),
        image_size: int | None = None,
        in_channels: int | None = None,
    ) -> None:
        super().__init__()
        colours, rows = image_sizes(in_channels, image_size)
        encoder = encoder or ConvEncoder(activation="logits", views=1, image_size=rows, in_channels=colours)
        self.encoder = TimeDistributed(encoder)
        self.decoder = TimeDistributed(ConvDecoder(encoder.output_size, channels, rows, colours))

    def forward(self, batch: Batch) -> Tensor:
        """Map a batch with inputs `(B, 1, C, Y, X)` to outputs `(B, C·Y·X, 1)`."""
        return self.decoder(self.features(batch)).flatten(1).unsqueeze(-1)

    def features(self, batch: Batch) -> Tensor:
        """Compute the encoder's features, `(B, 1, F)`."""
        return self.encoder(batch.inputs, batch.mask)


class ConvDecoder(nn.Module):
    """A linear layer, then transposed convolutions that each double rows and columns; the last one has no activation.

    Kernels of 4×4 with a stride of 2 overlap evenly, so they leave no checkerboards (Odena et al., 2016).

    Args:
        input_size: Features, `F`.
        channels: Maps before each doubling.
        image_size: Pixel rows and columns of the image, `Y` and `X`.
        out_channels: Colours of the image, `C`.

    Raises:
        ValueError: There are no channels, or a size is below one.
    """

    def __init__(self, input_size: int, channels: Sequence[int], image_size: int, out_channels: int) -> None:
        super().__init__()
        if len(channels) == 0 or min(channels) < 1:
            raise ValueError(f"`channels` (={list(channels)}) must be one or more numbers of at least 1")
        check_sizes(input_size=input_size, image_size=image_size, out_channels=out_channels)
        first = -(-image_size // 2 ** len(channels))  # rows before the first doubling, enough for all of the image
        self.image_size = image_size
        parts: list[nn.Module] = [nn.Linear(input_size, channels[0] * first**2)]
        parts += [nn.Unflatten(1, (channels[0], first, first)), BatchNorm2d(channels[0]), nn.ReLU()]
        for below, above in pairwise(channels):
            parts += [_doubled(below, above, bias=False), BatchNorm2d(above), nn.ReLU()]
        self.layers = nn.Sequential(*parts, _doubled(channels[-1], out_channels))

    def forward(self, features: Tensor) -> Tensor:
        """Decode features `(N, F)` into the pixels of images, `(N, C·Y·X)`."""
        pixels: Tensor = self.layers(features)
        return pixels[..., : self.image_size, : self.image_size].flatten(1)


def _doubled(below: int, above: int, bias: bool = True) -> nn.ConvTranspose2d:
    """Make a transposed convolution `(N, below, Y, X) -> (N, above, 2·Y, 2·X)`."""
    return nn.ConvTranspose2d(below, above, kernel_size=4, stride=2, padding=1, bias=bias)
