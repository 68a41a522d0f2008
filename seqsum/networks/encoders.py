"""Encoders: turn a single step's input into the features that the recurrence reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqsum.data.counter_random import random_uniform
from seqsum.data.warps import AFFINE_NUMBERS, random_affine, warp
from seqsum.networks.starts import load_encoder

if TYPE_CHECKING:
    from typing_extensions import Self  # typing's own from Python 3.11 on

Stem = Literal["strided", "pooled"]
VIEWS = 3
VIEWED = 0.5  # warps of `views`, as a share of the training's
Activation = Literal["relu", "softmax", "choice", "logits"]


class Encoder(nn.Module):
    """Maps one step's input `(N, …)` to features `(N, output_size)`.

    Attributes:
        output_size: Features, `F`.
        frozen: Whether the encoder stays as it is, always in evaluation, while the rest of the network learns.
        hurries: Whether the rest of the network learns: a frozen encoder may then spend less time on an input.
    """

    output_size: int
    frozen: bool = False
    hurries: bool = False

    def freeze(self) -> None:
        """Stop learning: weights and running statistics stay as they are."""
        self.frozen = True
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Set the mode, which for a frozen encoder is always evaluation."""
        self.hurries = mode
        return super().train(mode and not self.frozen)


class Flatten(Encoder):
    """Flattens a step's input to a vector: for inputs that are features already, such as a row of pixels.

    Args:
        output_size: Numbers in a step's input, `F`.

    Raises:
        ValueError: The size is below one or, in `forward`, not that of the input.
    """

    def __init__(self, output_size: int = 28) -> None:
        super().__init__()
        if output_size < 1:
            raise ValueError(f"`output_size` (={output_size}) must be at least 1")
        self.output_size = output_size

    def forward(self, inputs: Tensor) -> Tensor:
        """Flatten inputs `(N, …)` to features `(N, F)`."""
        features = inputs.flatten(1)
        if features.shape[1] != self.output_size:
            raise ValueError(
                f"`output_size` (={self.output_size}) of the encoder must be the {features.shape[1]} numbers "
                "that a step's input has"
            )
        return features


class ConvEncoder(Encoder):
    """Convolutional blocks that each halve the image, then one linear layer.

    Blocks pool before they normalise, so that normalisation runs on a quarter of the pixels. Images and
    weights are channels-last, which is faster on CPUs and with tensor cores.

    Args:
        channels: Output channels of each block; its convolutions are 3×3, except for a strided stem.
        stem: How the first block halves the image. On the full image it costs as much as all others
            together: `strided`, 5×5 with stride 2, is cheaper; `pooled` reads slightly better.
        depth: Convolutions per block; the stem always has one.
        output_size: Features per image, `F`.
        activation: Activation of the features: `choice`, a codebook that chooses one feature for every image, see
            `_Codebook`; `softmax` over all `F`, a soft codebook in which a clear image activates one feature; or
            `relu`. Between a 4 and a 9, readings from ReLU features slide through the numbers between, which are all
            wrong; readings from a codebook jump. `logits` are what a codebook takes the softmax of: they train its
            codes as classes, see `StepNetwork`.
        dropout: Probability of dropping a flattened feature before the linear layer.
        image_size: Pixel rows and columns of the square input.
        views: In evaluation, how often to look at an image, each time slightly warped; features are averaged before
            their activation. That reads better and takes as many times as long. Training looks once.
        start_from: Checkpoint of another training, whose encoder's weights this one starts from.
        frozen: Whether the encoder stays as it starts, always in evaluation, while the rest of the network learns.

    Raises:
        ValueError: There are no channels, a size is below one, the image is too small for the halvings, or
            `stem` or `activation` is unknown.
        InputError: `start_from` is no checkpoint, or contains another encoder.
    """

    _version = 2  # of its state dict

    def __init__(
        self,
        channels: Sequence[int] = (16, 32, 64),
        stem: Stem = "strided",
        depth: int = 1,
        output_size: int = 128,
        activation: Activation = "choice",
        dropout: float = 0.0,
        image_size: int = 28,
        views: int = VIEWS,
        start_from: str | None = None,
        frozen: bool = False,
    ) -> None:
        super().__init__()
        if len(channels) == 0 or min(channels) < 1:
            raise ValueError(f"`channels` (={list(channels)}) must be one or more numbers of at least 1")
        for name, size in (("depth", depth), ("output_size", output_size), ("views", views)):
            if size < 1:
                raise ValueError(f"`{name}` (={size}) must be at least 1")
        for name, choice, choices in (("stem", stem, Stem), ("activation", activation, Activation)):
            if choice not in get_args(choices):
                raise ValueError(f"`{name}` (={choice!r}) must be one of {get_args(choices)}")
        first = (image_size + 1) // 2 if stem == "strided" else image_size // 2
        pixels = first >> (len(channels) - 1)  # rows of the last convolution's output
        if pixels < 1:
            raise ValueError(
                f"`channels` (={list(channels)}) halve the image of `image_size` (={image_size}) too often"
            )
        blocks = [_strided_block(1, channels[0]) if stem == "strided" else _block(1, channels[0])]
        for below, above in pairwise(channels):
            blocks += [_block(below, above, halve=depth == 1)]
            blocks += [_block(above, above, halve=k == depth) for k in range(2, depth + 1)]
        self.output_size = output_size
        self.views = views
        self.layers = nn.Sequential(
            *blocks,
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(channels[-1] * pixels**2, output_size),
            nn.ReLU() if activation == "relu" else _Codebook(output_size, activation),
        ).to(memory_format=torch.channels_last)
        if start_from is not None:
            load_encoder(self, start_from)
        if frozen:
            self.freeze()

    def forward(self, images: Tensor) -> Tensor:
        """Encode images `(N, 1, Y, X)` into features `(N, F)`."""
        if self._looks_once:
            return self.layers(images.contiguous(memory_format=torch.channels_last))
        return self.layers[-1](self._before_activation(images))

    def shares(self, images: Tensor) -> Tensor | None:
        """Compute each code's share of images `(N, 1, Y, X)` before any choice, `(N, F)`; None without a codebook."""
        codebook = self.layers[-1]
        return codebook.shares(self._before_activation(images)) if isinstance(codebook, _Codebook) else None

    def choose(self, views: int) -> None:
        """From now on pass on one code for each image, after so many views of it: for codes trained as classes.

        Raises:
            ValueError: The encoder has no codebook.
        """
        codebook = self.layers[-1]
        if not isinstance(codebook, _Codebook):
            raise ValueError("an encoder with `activation` (='relu') has no codes to choose from")
        codebook.gives, self.views = "choice", views

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *args: Any
    ) -> None:
        """Replace today's defaults by those of 0.1.0 if the weights are of then, so that results stay the same."""
        if local_metadata.get("version") == 1:
            codebook = self.layers[-1]
            if isinstance(codebook, _Codebook) and codebook.gives == "choice":
                codebook.gives = "softmax"
            self.views = 1 if self.views == VIEWS else self.views
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)

    @property
    def _looks_once(self) -> bool:
        return self.views == 1 or self.training or self.hurries

    def _before_activation(self, images: Tensor) -> Tensor:
        """Compute what the activation gets, the mean of all views: `(N, 1, Y, X)` -> `(N, F)`."""
        body = self.layers[:-1]
        views = [images] if self._looks_once else [images, *_views(images, self.views - 1)]
        return sum(body(view.contiguous(memory_format=torch.channels_last)) for view in views) / len(views)


def _views(images: Tensor, count: int) -> Iterator[Tensor]:
    """Warp images `(N, 1, Y, X)` slightly, in as many ways, which are always the same."""
    rows, columns = images.shape[-2:]
    numbers = VIEWED * random_uniform(0, torch.arange(count, device=images.device), AFFINE_NUMBERS)
    for affine in random_affine(numbers, size=columns):
        with torch.autocast(images.device.type, enabled=False):  # 16 bits are too few for places
            warped = warp(images, affine.expand(len(images), 2, 3), size=rows, outside="border")
        yield warped


class _BatchNorm(nn.modules.batchnorm._BatchNorm):
    """BatchNorm that also accepts a single value per channel, normalised as in evaluation; torch raises an error.

    An epoch's last batch, or a process's share of it, may be a single image or none. With at most one value per
    channel, the running statistics stay as they are.
    """

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or values.numel() > self.num_features:
            return super().forward(values)
        return F.batch_norm(values, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


class _BatchNorm1d(_BatchNorm, nn.BatchNorm1d):
    pass


class _BatchNorm2d(_BatchNorm, nn.BatchNorm2d):
    pass


class _Codebook(nn.Module):
    """Normalises, sharpens and softmaxes features `(N, F)`, scaled to about the size of ReLU features.

    An image that might be a 4 or a 9 gives a mixture of both codes, and what a recurrence adds for it is a mixture too,
    which is always wrong. A codebook that chooses gives the largest code alone. In training it does so for a random
    half of the images, and the gradient passes straight through the choice (Bengio et al., 2013); the other half keeps
    the mixture, which tells the encoder what the other codes would have given. With a choice for every image, few codes
    stay in use, and the network reads worse.

    Args:
        size: Features, `F`.
        gives: What it gives: `softmax`, the mixture; `choice`; or `logits`, of which the mixture is the softmax.
    """

    sharpness = 6.0  # initial value; the best of 1, 3, 6 and 12
    scale = 10.0
    chosen = 0.5  # share of the training images for which it chooses

    def __init__(self, size: int, gives: Activation) -> None:
        super().__init__()
        self.gives: Activation = gives
        self.norm = _BatchNorm1d(size)
        nn.init.constant_(self.norm.weight, self.sharpness)

    def forward(self, features: Tensor) -> Tensor:
        if self.gives == "logits":
            return self.norm(features)
        shares = self.shares(features)
        return self.scale * (self._choose(shares) if self.gives == "choice" else shares)

    def shares(self, features: Tensor) -> Tensor:
        """Compute each code's share, before any choice: `(N, F)` -> `(N, F)`."""
        return torch.softmax(self.norm(features), dim=-1)

    def _choose(self, shares: Tensor) -> Tensor:
        """Give the code with the largest share `(N, F)` all of it, in training for some images only."""
        # not one_hot, for which the host would wait for the device to check the codes
        largest = torch.zeros_like(shares).scatter(-1, shares.argmax(-1, keepdim=True), 1.0)
        if not self.training:
            return largest
        chosen = torch.rand_like(shares[:, :1]) < self.chosen
        return shares + (chosen * (largest - shares)).detach()


def _block(in_channels: int, out_channels: int, halve: bool = True) -> nn.Sequential:
    """Convolution, pooling if `halve`, normalisation, ReLU: `(N, C, Y, X) -> (N, C', Y/2, X/2)` or `(…, Y, X)`."""
    # no bias, because batch normalisation has one
    convolution = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False)
    pooling = [nn.MaxPool2d(2)] if halve else []
    return nn.Sequential(convolution, *pooling, _BatchNorm2d(out_channels), nn.ReLU())


def _strided_block(in_channels: int, out_channels: int) -> nn.Sequential:
    """Halve the image as `_block` does, but by a stride: the convolution runs at a quarter of the places."""
    convolution = nn.Conv2d(in_channels, out_channels, kernel_size=5, stride=2, padding=2, bias=False)
    return nn.Sequential(convolution, _BatchNorm2d(out_channels), nn.ReLU())
