"""What all encoders of images share: the ending, looking several times, and starting from another training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Literal

import torch
from torch import Tensor, nn

from seqsum.data.counter_random import random_uniform
from seqsum.data.warps import AFFINE_NUMBERS, random_affine, warp
from seqsum.errors import InputError, check_choice, check_sizes
from seqsum.networks.codebook import Activation, Codebook
from seqsum.networks.encoders import Encoder
from seqsum.networks.starts import load_encoder

IN_CHANNELS, IMAGE_SIZE = 1, 28  # where neither arguments nor data say
VIEWS = 3
VIEWED = 0.5  # warps of `views`, as a share of the training's
Frozen = Literal["all", "none"] | bool | int


class ImageEncoder(Encoder):
    """Base class: blocks that turn images into maps, then one linear layer and the activation of the features.

    Images and weights are channels-last, which is faster on CPUs and with tensor cores.

    Args:
        blocks: Modules that turn images `(N, in_channels, image_size, image_size)` into maps.
        numbers: Numbers of an image's maps, which the linear layer reads.
        in_channels: Colours of an image, `C`.
        image_size: Pixel rows and columns of the square input.
        output_size: Features per image, `F`.
        activation: Activation of the features, see `ConvEncoder`.
        dropout: Probability of dropping one of the maps' numbers before the linear layer.
        views: In evaluation, how often to look at an image, see `ConvEncoder`.
        start_from: Checkpoint of another training, whose encoder's weights this one starts from.
        frozen: Which layers stay as they start, see `ConvEncoder`.

    Raises:
        ValueError: A size is below one, `activation` is unknown, or `frozen` trains more layers than there are.
        InputError: `start_from` is no checkpoint, or contains another encoder; in `forward`, images of another size, or
            no images.
    """

    _version = 2  # of its state dict

    def __init__(
        self,
        blocks: Sequence[nn.Module],
        numbers: int,
        in_channels: int,
        image_size: int,
        output_size: int,
        activation: Activation,
        dropout: float,
        views: int,
        start_from: str | None,
        frozen: Frozen,
    ) -> None:
        super().__init__()
        check_sizes(output_size=output_size, views=views)
        check_choice("activation", activation, Activation)
        self.in_channels, self.image_size = in_channels, image_size
        self.output_size = output_size
        self.views = views
        self.layers = nn.Sequential(
            *blocks,
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(numbers, output_size),
            nn.ReLU() if activation == "relu" else Codebook(output_size, activation),
        ).to(memory_format=torch.channels_last)
        if start_from is not None:
            load_encoder(self, start_from)
        self._freeze(frozen)
        stays = self.frozen or bool(self.held)
        self._random: Frozen | None = frozen if stays and start_from is None else None  # until weights are loaded

    def forward(self, images: Tensor) -> Tensor:
        """Encode images `(N, C, Y, X)` into features `(N, F)`."""
        self._check(images)
        if self._looks_once:
            return self.layers(images.contiguous(memory_format=torch.channels_last))
        return self.layers[-1](self._before_activation(images))

    def shares(self, images: Tensor) -> Tensor | None:
        """Compute each code's share of images `(N, C, Y, X)` before any choice, `(N, F)`; None without a codebook."""
        codebook = self.layers[-1]
        return codebook.shares(self._before_activation(images)) if isinstance(codebook, Codebook) else None

    def choose(self, views: int) -> None:
        """From now on pass on one code for each image, after so many views of it: for codes trained as classes.

        Raises:
            ValueError: The encoder has no codebook.
        """
        codebook = self.layers[-1]
        if not isinstance(codebook, Codebook):
            raise ValueError("an encoder with `activation` (='relu') has no codes to choose from")
        codebook.gives, self.views = "choice", views

    def check_start(self) -> None:
        """Check that layers which `frozen` keeps as they start don't start at random."""
        if self._random is not None:
            raise InputError(
                f"`frozen` (={self._random}) keeps layers of the {type(self).__name__} as they start, which without "
                "`start_from` is at random: `start_from` must name a checkpoint with such an encoder"
            )

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: dict[str, Any], *args: Any
    ) -> None:
        """Note that weights are loaded; if they are of 0.1.0, take its defaults, so that results stay the same."""
        if local_metadata.get("version") == 1:
            codebook = self.layers[-1]
            if isinstance(codebook, Codebook) and codebook.gives == "choice":
                codebook.gives = "softmax"
            self.views = 1 if self.views == VIEWS else self.views
        if any(name.startswith(f"{prefix}layers.") for name in state_dict):
            self._random = None
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)

    def _check(self, images: Tensor) -> None:
        """Check the images' sizes, which would otherwise fail in a layer that says nothing of its arguments."""
        if images.dim() != 4:
            shape = tuple(images.shape[1:])
            raise InputError(
                f"the encoder {type(self).__name__} reads an image (C, Y, X) at each step, and these data have inputs "
                f"of shape {shape}: `--model.encoder` may be Flatten for numbers or Embed for word ids"
            )
        if not images.is_floating_point():
            raise InputError(f"the encoder reads pixels between 0 and 1, and these images are of type {images.dtype}")
        if images.shape[1] != self.in_channels:
            raise InputError(
                f"`in_channels` (={self.in_channels}) of the encoder must be that of the images, {images.shape[1]}"
            )
        if images.shape[2:] != (self.image_size, self.image_size):
            rows, columns = images.shape[2:]
            raise InputError(
                f"`image_size` (={self.image_size}) of the encoder must be that of the images, {rows}×{columns}"
            )

    def _freeze(self, frozen: Frozen) -> None:
        if frozen is True or frozen == "all":
            self.freeze()
        elif frozen is not False and frozen != "none":
            layers = _layers(self.layers)
            if not isinstance(frozen, int) or not 1 <= frozen <= len(layers):
                raise ValueError(
                    f"`frozen` (={frozen}) must be all, none, or the number of last layers to train, 1 to {len(layers)}"
                )
            self.freeze(part for layer in layers[:-frozen] for part in layer)

    @property
    def _looks_once(self) -> bool:
        return self.views == 1 or self.training or self.hurries

    def _before_activation(self, images: Tensor) -> Tensor:
        """Compute what the activation gets, the mean of all views: `(N, C, Y, X)` -> `(N, F)`."""
        body = self.layers[:-1]
        count = 1 if self._looks_once else self.views
        views = chain([images], _views(images, count - 1))  # one after another, to keep only one in memory
        return sum(body(view.contiguous(memory_format=torch.channels_last)) for view in views) / count


def _layers(parts: nn.Sequential) -> list[list[nn.Module]]:
    """Group the parts that have weights into layers: each convolution, block or linear map, and what scales it."""
    layers: list[list[nn.Module]] = []
    for part in parts:
        if any(isinstance(inner, nn.Conv2d | nn.Linear) for inner in part.modules()):
            layers.append([part])
        elif any(True for _ in part.parameters()):  # a normalisation
            layers[-1].append(part)
    return layers


def _views(images: Tensor, count: int) -> Iterator[Tensor]:
    """Warp images `(N, C, Y, X)` slightly, in as many ways, which are always the same."""
    rows, columns = images.shape[-2:]
    numbers = VIEWED * random_uniform(0, torch.arange(count, device=images.device), AFFINE_NUMBERS)
    for affine in random_affine(numbers, size=columns):
        with torch.autocast(images.device.type, enabled=False):  # 16 bits are too few for places
            warped = warp(images, affine.expand(images.shape[0], 2, 3), size=rows, outside="border")
        yield warped


def image_sizes(in_channels: int | None, image_size: int | None) -> tuple[int, int]:
    """Return colours and pixel rows of the images, MNIST's by default.

    Raises:
        ValueError: One is below one.
    """
    colours = IN_CHANNELS if in_channels is None else in_channels
    rows = IMAGE_SIZE if image_size is None else image_size
    check_sizes(in_channels=colours, image_size=rows)
    return colours, rows
