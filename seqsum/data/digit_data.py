"""Base DataModule of all experiments with digits: loads the dataset and the user's own images."""

from __future__ import annotations

import torch

from seqsum.data.base import Split
from seqsum.data.digits import Digits, load_splits, resolve_dataset
from seqsum.data.growing import Growth
from seqsum.data.index_tables import IndexBatch
from seqsum.data.indexed import IndexedData
from seqsum.data.labels import Labels, choose_rows
from seqsum.data.own import OwnDigits
from seqsum.errors import InputError, check_at_least

OTHER_FORM = ("fashion_mnist", "kmnist")  # their images fill the whole square and are not digits


class DigitData(IndexedData):
    """Keeps each split on the device as one uint8 tensor and gathers batches there.

    Subclasses make a batch in `gather` and the user's images in `own_batches`.

    Args:
        dataset: Dataset to use. `auto` is MNIST if it is on disk or can be downloaded, else `rendered`.
        root: Folder of the torchvision datasets.
        lengths: Digits in the shortest and the longest sequence; or lengths that grow during the training.
        batch_size: Sequences per batch on each device, `B`.
        seed: Seed of everything random in training. Validation and test are the same for every seed.
        images: For `predict`: image files, folders of images, and patterns such as `digits/*.png`.
        num_workers: Number of processes that prepare index tables.
        labels: Labelled training images to use: all, or so many, see `few_labels`.
    """

    own: OwnDigits

    def __init__(
        self,
        dataset: str,
        root: str,
        lengths: tuple[int, int] | Growth,
        batch_size: int,
        seed: int,
        images: str | list[str] | None,
        num_workers: int = 0,
        labels: Labels = "all",
    ) -> None:
        super().__init__(lengths, batch_size, seed, num_workers)
        if labels != "all":
            check_at_least("--data.labels", labels, 1)
        self.labels = labels
        self.own = OwnDigits([], [], [])
        self.dataset: str = dataset
        self.root = root
        self.images = [images] if isinstance(images, str) else images or []
        self.splits: dict[Split, Digits] = {}

    def setup(self, stage: str) -> None:
        if stage == "predict":
            self.own = self.own if self.own.sequences else self._read_images()
        else:
            self.dataset, self.splits = self.read_once(self._read)

    def _read_images(self) -> OwnDigits:
        if not self.images:
            return self.examples()
        from seqsum.data.images import read_images  # imported here because scikit-image takes a second

        return read_images(self.images, digits_only=self.dataset not in OTHER_FORM)

    def examples(self) -> OwnDigits:
        """Return what to predict from if the user names no images."""
        raise InputError("`--data.images` must name image files, or a folder of them, to predict from")

    def load(self) -> None:
        """Read the splits."""
        self.dataset, self.splits = self._read()

    def _read(self) -> tuple[str, dict[Split, Digits]]:
        """Read the dataset, unless that was done before; return its name and splits."""
        if self.splits:
            return self.dataset, self.splits
        dataset = resolve_dataset(self.dataset, self.root)
        splits = load_splits(dataset, self.root)
        if self.labels != "all":
            splits["train"] = few_labels(splits["train"], self.labels, self.seed)
        self.check_length({split: len(digits.labels) for split, digits in splits.items()})
        return dataset, splits

    def count(self, split: Split) -> int:
        return len(self.splits[split].labels)

    def digits_of(self, batch: IndexBatch) -> Digits:
        """Return the split that a batch comes from, moved to the batch's device on first use."""
        digits = self.splits[batch.split]
        if digits.images.device != batch.rows.device:
            digits = self.splits[batch.split] = Digits(*(tensor.to(batch.rows.device) for tensor in digits))
        return digits

    def describe_splits(self) -> str:
        """Count the images of each split: `55,000 train, 5,000 val, 10,000 test`."""
        counts = ", ".join(f"{len(digits.labels):,} {split}" for split, digits in self.splits.items())
        return counts if self.labels == "all" else f"{counts}; of train only {self.labels:,} different"


def few_labels(digits: Digits, count: int, seed: int) -> Digits:
    """Choose labelled images at random, every class among them, see `choose_rows`.

    They are repeated in turn, so that an epoch stays as long: trainings with few labels and with all then have the same
    number of steps. Each repetition is warped in its own way.
    """
    rows = choose_rows(digits.labels, count, int(digits.labels.max()) + 1, seed)
    turns = rows[torch.arange(len(digits.labels)) % count]
    return Digits(digits.images[turns], digits.labels[turns])
