"""Images read row by row or column by column, labelled with their class."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from seqsum.data.base import Batch, Split, unlabelled
from seqsum.data.digit_data import DigitData
from seqsum.data.digits import DatasetName, Digits
from seqsum.data.index_tables import IndexBatch
from seqsum.data.own import OwnDigits, OwnSequence
from seqsum.errors import InputError, check_choice

Steps = Literal["rows", "columns"]
TrainOn = Literal["train", "all"]


class DigitRows(DigitData):
    """Images as sequences of 28 pixel rows or columns, with the image's label at every step.

    Args:
        dataset: Dataset to use. `auto` is MNIST if it is on disk or can be downloaded, else `rendered`.
        root: Folder of the torchvision datasets.
        steps: What a step reads: one of the `rows`, from the top, or of the `columns`, from the left.
        threshold: Pixels above it become 1, all others 0. By default pixels keep their values from 0 to 1.
        train_on: Images to train on: the `train` split, or `all` but the test split, as in publications without a
            validation split. With `all`, validation images are trained on too, so their metrics prove nothing.
        batch_size: Images per batch on each device, `B`.
        seed: Seed of the order of the training images; the command line passes `seed_everything`. It also
            picks the image that `predict` shows.
        images: For `predict`: image files, folders of images, and patterns such as `digits/*.png`. By default
            an image of the test split.
    """

    is_capturable = True
    trained_with = ("steps",)

    def __init__(
        self,
        dataset: DatasetName = "auto",
        root: str = "data",
        steps: Steps = "rows",
        threshold: float | None = None,
        train_on: TrainOn = "train",
        batch_size: int = 128,
        seed: int = 0,
        images: str | list[str] | None = None,
    ) -> None:
        super().__init__(dataset, root, (1, 1), batch_size, seed, images)
        check_choice("--data.dataset", dataset, DatasetName)
        check_choice("--data.steps", steps, Steps)
        check_choice("--data.train_on", train_on, TrainOn)
        if threshold is not None and not 0 <= threshold < 1:
            raise InputError(f"`--data.threshold` (={threshold}) must be at least 0 and below 1")
        self.save_hyperparameters(ignore=["images"])
        self.steps = steps
        self.threshold = threshold
        self.train_on = train_on

    def _read(self) -> tuple[str, dict[Split, Digits]]:
        if self.splits:
            return self.dataset, self.splits
        dataset, splits = super()._read()
        if self.train_on == "all":
            splits["train"] = Digits(*map(torch.cat, zip(splits["train"], splits["val"], strict=True)))
        return dataset, splits

    def gather(self, batch: IndexBatch) -> Batch:
        """Turn an index table `(B, 1)` into steps `(B, 28, 28)` and labels `(B, 28)`, the same at all steps."""
        digits, rows = self.digits_of(batch), batch.rows[batch.share].squeeze(-1)
        inputs = self.as_steps(digits.images.index_select(0, rows))  # images[rows] would copy byte by byte
        return Batch(inputs, digits.labels[rows].unsqueeze(-1).expand(-1, inputs.shape[1]), rows=batch.rows)

    def as_steps(self, images: Tensor) -> Tensor:
        """Turn uint8 images `(N, Y, X)` into float steps `(N, T, F)`: `(N, Y, X)` by rows, `(N, X, Y)` by columns."""
        pixels = images / 255
        if self.threshold is not None:
            pixels = (pixels > self.threshold).to(pixels)
        return pixels.transpose(1, 2) if self.steps == "columns" else pixels

    def as_images(self, inputs: Tensor) -> Tensor:
        """Turn steps `(…, T, F)` back into the images that the network reads, `(…, Y, X)` from 0 to 1."""
        return inputs.transpose(-2, -1) if self.steps == "columns" else inputs

    def examples(self) -> OwnDigits:
        """Pick a random image of the test split; the seed decides which."""
        self.load()
        images = self.splits["test"].images
        place = torch.randint(len(images), (1,), generator=torch.Generator().manual_seed(self.seed))
        return OwnDigits([OwnSequence(images[place], [f"test image {int(place)}"])], [], [])

    def own_batches(self) -> list[Batch]:
        """Serve the user's images as batches of one sequence, inputs `(1, T, F)`."""
        images = torch.cat([digits for digits, _ in self.own.sequences])
        return [unlabelled(steps[None]) for steps in self.as_steps(images)]

    def describe(self) -> str:
        shades = "pixels from 0 to 1" if self.threshold is None else f"pixels 0 or 1 (threshold {self.threshold})"
        return f"{self.dataset} digits ({self.describe_splits()}) by {self.steps}, {shades}, one label for all steps"
