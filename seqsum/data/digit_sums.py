"""The main job's batches: sequences of digits and their running sums."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from seqsum.data.base import Batch, SequenceData
from seqsum.data.digits import DatasetName, Digits, Split, load_splits, resolve_dataset
from seqsum.data.images import read_sequences
from seqsum.data.sampler import IndexBatch, IndexBatches, Passthrough
from seqsum.data.sums import Operation, running_targets, signs
from seqsum.data.warps import random_affine, random_elastic, warp
from seqsum.errors import InputError


class DigitSums(SequenceData):
    """Sequences of handwritten digits with the running sum after each of them.

    A split stays on the device as one uint8 tensor. The loader serves index tables alone; gathering,
    warping and scaling happen on the device, a batch at a time, in `on_after_batch_transfer`.

    Args:
        dataset: Which digits. `auto` is MNIST where it is on disk or can be downloaded, else `rendered`.
        root: Folder of the torchvision datasets.
        sequence_length: Digits in a sequence, `T`; or [shortest, longest], and each training batch has
            its own length, while validation and test use the longest.
        operation: `alternating` for +d1 -d2 +d3 …, `sum` for +d1 +d2 +d3 ….
        batch_size: Sequences in a batch, `B`, on each device.
        augment: Whether training images are rotated, stretched, sheared and shifted at random.
        elastic: Largest elastic displacement of a pixel on top of that, in pixels (Simard et al., 2003).
        num_workers: Processes that prepare index tables. They are made in microseconds, so none pays.
        seed: Of the deal and the warps in training; the command line passes `seed_everything`.
            Validation and test sequences are the same for every seed.
        images: For `predict`: image files, or a folder of them. Images of single digits, in order, are
            one sequence; a strip, wide and with several digits, is a sequence by itself.
    """

    def __init__(
        self,
        dataset: DatasetName = "auto",
        root: str = "data",
        sequence_length: int | tuple[int, int] = 4,
        operation: Operation = "alternating",
        batch_size: int = 128,
        augment: bool = True,
        elastic: float = 0.0,
        num_workers: int = 0,
        seed: int = 0,
        images: str | list[str] | None = None,
    ) -> None:
        super().__init__()
        low, high = (sequence_length, sequence_length) if isinstance(sequence_length, int) else sequence_length
        if not 1 <= low <= high:
            raise InputError(
                f"`--data.sequence_length` (={sequence_length}) must be at least 1, or [shortest, longest]"
            )
        if batch_size < 1:
            raise InputError(f"`--data.batch_size` (={batch_size}) must be at least 1")
        if elastic < 0:
            raise InputError(f"`--data.elastic` (={elastic}) must be at least 0")
        if seed < 0:
            raise InputError(f"`--seed_everything` (={seed}) must be at least 0")
        self.save_hyperparameters(ignore=["images", "num_workers"])
        self.dataset: str = dataset
        self.root = root
        self.lengths = (low, high)
        self.operation: Operation = operation
        self.batch_size = batch_size
        self.augment = augment
        self.elastic = elastic
        self.num_workers = num_workers
        self.seed = seed
        self.images = [Path(image) for image in ([images] if isinstance(images, str) else images or [])]
        self.sequences: list[Tensor] = []  # of the user's images, uint8 (T, Y, X) each
        self.splits: dict[Split, Digits] = {}

    def prepare_data(self) -> None:
        """Download on one process, and find out what is wrong before any folder is made."""
        if self.trainer is None or self.trainer.state.fn != "predict":
            self._load()

    def setup(self, stage: str) -> None:
        if stage != "predict":
            self._load()
        elif not self.images:
            raise InputError("`--data.images` must name image files, or a folder of them, to predict from")
        else:
            self.sequences = read_sequences(self.images)

    def _load(self) -> None:
        if self.splits:
            return
        self.dataset = resolve_dataset(self.dataset, self.root)
        self.splits = load_splits(self.dataset, self.root)
        for split, digits in self.splits.items():
            if self.lengths[1] > len(digits.labels):
                raise InputError(
                    f"`--data.sequence_length` (={self.lengths[1]}) must be at most {len(digits.labels)}, "
                    f"the number of images in the {split} split"
                )

    def train_dataloader(self) -> DataLoader[IndexBatch]:
        return self._dataloader("train")

    def val_dataloader(self) -> DataLoader[IndexBatch]:
        return self._dataloader("val")

    def test_dataloader(self) -> DataLoader[IndexBatch]:
        return self._dataloader("test")

    def _dataloader(self, split: Split) -> DataLoader[IndexBatch]:
        low, high = self.lengths
        sampler = IndexBatches(
            split,
            len(self.splits[split].labels),
            (low, high) if split == "train" else (high, high),
            self.batch_size,
            self.seed if split == "train" else 0,
            *((self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)),
        )
        return DataLoader(Passthrough(), batch_size=None, sampler=sampler, num_workers=self.num_workers)

    def predict_dataloader(self) -> DataLoader[Tensor]:
        """The user's images: one `(1, T, C, Y, X)` tensor for each sequence."""
        inputs = [scale(digits)[None] for digits in self.sequences]
        return DataLoader(inputs, batch_size=None)  # type: ignore[arg-type]  # a list is a dataset

    def describe(self) -> str:
        shortest, longest = self.lengths
        counts = ", ".join(f"{len(digits.labels):,} {split}" for split, digits in self.splits.items())
        terms = " ".join(f"{'+' if sign > 0 else '-'}d{t}" for t, sign in enumerate(signs(3, self.operation), start=1))
        length = str(longest) if shortest == longest else f"{shortest} to {longest}"
        return f"{self.dataset} digits ({counts}) in sequences of {length}, targets {terms} …"

    def on_after_batch_transfer(self, batch: IndexBatch | Tensor, dataloader_idx: int) -> Batch | Tensor:
        return self.gather(batch) if isinstance(batch, IndexBatch) else batch

    def gather(self, batch: IndexBatch) -> Batch:
        """Index table `(B, T)` -> images `(B, T, 1, Y, X)` and running sums `(B, T)`, on the table's device."""
        digits = self.splits[batch.split]
        if digits.images.device != batch.rows.device:
            digits = self.splits[batch.split] = Digits(*(tensor.to(batch.rows.device) for tensor in digits))
        images = digits.images[batch.rows].flatten(0, 1)  # (B·T, Y, X)
        generator = torch.Generator().manual_seed(batch.seed) if batch.split == "train" and self.augment else None
        inputs = scale(images, generator, self.elastic).unflatten(0, batch.rows.shape)  # (B, T, 1, Y, X)
        return Batch(inputs, running_targets(digits.labels[batch.rows], self.operation))


def scale(images: Tensor, generator: torch.Generator | None = None, elastic: float = 0.0) -> Tensor:
    """uint8 images `(N, Y, X)` -> float `(N, 1, Y, X)`, warped at random when a generator is given.

    Mean and spread are those of MNIST's training pixels; the other datasets are close enough.
    """
    pixels = images.unsqueeze(1) / 255
    if generator is not None and len(pixels) > 0:  # a process may get no row of a short last batch
        affine = random_affine(len(pixels), generator)
        displacement = random_elastic(len(pixels), generator, strength=elastic) if elastic else None
        pixels = warp(pixels, affine, displacement)
    return (pixels - 0.1307) / 0.3081
