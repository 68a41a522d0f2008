"""Single images with their classes: sequences of one step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torchvision import datasets

from seqsum.data import cifar
from seqsum.data.augment import augment
from seqsum.data.base import Batch, Split, unlabelled
from seqsum.data.digit_data import DigitData
from seqsum.data.digit_sums import DEVIATION, MEAN
from seqsum.data.digits import DatasetName
from seqsum.data.index_tables import IndexBatch
from seqsum.data.labels import Labels
from seqsum.errors import InputError, check_at_least, check_choice

ImageSet = Literal[DatasetName, "cifar10", "cifar100"]
# mean and deviation of each colour over the training images; in grey all have MNIST's, so encoders fit all
COLOURS = {
    "cifar10": ((0.4914, 0.2470), (0.4822, 0.2435), (0.4465, 0.2616)),
    "cifar100": ((0.5071, 0.2673), (0.4865, 0.2564), (0.4409, 0.2762)),
}
NAMED = {"fashion_mnist": datasets.FashionMNIST, "kmnist": datasets.KMNIST}  # classes with names of their own


class Images(DigitData):
    """One image a sequence, with its class: inputs `(B, 1, C, Y, X)`, targets `(B, 1)`.

    Colours, size and number of classes are those of the dataset, and networks follow them: see `sizes`.

    Args:
        dataset: Dataset to use: 28×28 in grey, or `cifar10` and `cifar100`, 32×32 in three colours. `auto` is MNIST if
            it is on disk or can be downloaded, else `rendered`.
        root: Folder of the torchvision datasets.
        batch_size: Images per batch on each device, `B`.
        augment: Whether to rotate, stretch, shear and shift training images at random.
        elastic: Largest additional elastic displacement, in pixels (Simard et al., 2003), if `augment` is on.
        flip: Whether to mirror a random half of the training images, if `augment` is on; by default only those of
            CIFAR. A mirrored digit is no digit.
        seed: Seed of the order and warps in training; the command line passes `seed_everything`.
        images: For `predict`: image files, folders of images, and patterns such as `digits/*.png`, for networks that
            read grey images.
        labels: Labelled training images to use: all, or so many, drawn by the seed, every class among them.
            They are repeated, so that an epoch stays as long.
    """

    is_capturable = True

    def __init__(
        self,
        dataset: ImageSet = "auto",
        root: str = "data",
        batch_size: int = 128,
        augment: bool = True,
        elastic: float = 0.0,
        flip: bool | None = None,
        seed: int = 0,
        images: str | list[str] | None = None,
        labels: Labels = "all",
    ) -> None:
        check_choice("--data.dataset", dataset, ImageSet)
        super().__init__(dataset, root, (1, 1), batch_size, seed, images, labels=labels)
        check_at_least("--data.elastic", elastic, 0, whole=False)
        self.save_hyperparameters(ignore=["images"])
        self.augment = augment
        self.elastic = elastic
        self.flip = dataset in COLOURS if flip is None else flip

    @classmethod
    def sizes(cls, settings: Mapping[str, Any]) -> dict[str, int]:
        """Return the sizes of a dataset: `in_channels`, `image_size`, `input_size` and `num_classes`."""
        dataset = settings.get("dataset", "auto")
        channels, size, classes = (3, cifar.SIZE, cifar.CIFAR[dataset].classes) if dataset in COLOURS else (1, 28, 10)
        return {
            "in_channels": channels,
            "image_size": size,
            "input_size": channels * size**2,
            "num_classes": classes,
        }

    def gather(self, batch: IndexBatch) -> Batch:
        """Turn an index table `(B, 1)` into images `(B, 1, C, Y, X)` and classes `(B, 1)`, on the table's device."""
        rows = batch.rows[batch.share]  # may be empty in a short last batch
        return Batch(self._as_inputs(self.pixels_of(batch)), self.digits_of(batch).labels[rows], rows=batch.rows)

    def pixels_of(self, batch: IndexBatch) -> Tensor:
        """Return this process's images of an index table, in training warped, `(N, C, Y, X)` from 0 to 1."""
        rows = batch.rows[batch.share].flatten()
        pixels = self._pixels(self.digits_of(batch).images.index_select(0, rows))  # images[rows] copies byte by byte
        if batch.split == "train" and self.augment and len(pixels) > 0:
            pixels = augment(pixels, batch, self.elastic, self.flip, self.outside)
        return pixels

    def as_images(self, inputs: Tensor) -> Tensor:
        """Turn inputs `(B, 1, C, Y, X)` back into images `(B, C, Y, X)` from 0 to 1."""
        colours = inputs.squeeze(1).unbind(1)
        return torch.stack(
            [colour * std + mean for colour, (mean, std) in zip(colours, self._statistics, strict=True)], dim=1
        )

    def images_of(self, split: Split, rows: Tensor) -> Tensor:
        """Return images of a split by their rows `(M,)`, `(M, C, Y, X)` from 0 to 1, on the CPU."""
        images = self.splits[split].images
        return self._pixels(images[rows.to(images.device)]).cpu()

    def class_names(self) -> Sequence[str]:
        """Return the names of the classes: digits, garments, or what else the dataset shows."""
        if self.dataset in COLOURS:
            return cifar.class_names(self.dataset, self.root)
        named = NAMED.get(self.dataset)
        return named.classes if named else [str(digit) for digit in range(10)]

    def setup(self, stage: str) -> None:
        if stage == "predict" and self.dataset in COLOURS:
            raise InputError(
                f"`--data.images` can't be read by a network of `--data.dataset` (={self.dataset}): own images become "
                "28×28 pixels in grey, like MNIST's"
            )
        super().setup(stage)

    def own_batches(self) -> list[Batch]:
        """Serve the user's images as batches of one image, inputs `(1, 1, 1, Y, X)`."""
        images = torch.cat([digits for digits, _ in self.own.sequences])
        return [unlabelled(inputs[None]) for inputs in self._as_inputs(self._pixels(images))]

    def describe(self) -> str:
        return f"{self.dataset} images ({self.describe_splits()}), one at a time"

    @property
    def outside(self) -> Literal["zeros", "border"]:
        """What a warped image has outside of its border, see `warp`."""
        return "border" if self.dataset in COLOURS else "zeros"

    @property
    def _statistics(self) -> Sequence[tuple[float, float]]:
        return COLOURS.get(self.dataset, ((MEAN, DEVIATION),))

    def _pixels(self, images: Tensor) -> Tensor:
        """Scale uint8 images `(N, Y, X)` or `(N, C, Y, X)` to `(N, C, Y, X)` from 0 to 1."""
        return (images if images.dim() == 4 else images.unsqueeze(1)) / 255

    def _as_inputs(self, pixels: Tensor) -> Tensor:
        """Standardise each colour of pixels `(N, C, Y, X)`, and add the axis of the one step: `(N, 1, C, Y, X)`."""
        # no tensors of means and deviations, which the host would have to send
        colours = zip(pixels.unbind(1), self._statistics, strict=True)
        return torch.stack([(colour - mean) / std for colour, (mean, std) in colours], dim=1).unsqueeze(1)
