"""Running sums of digits that an encoder has read before: for networks that only count, trained in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seqsum.data.base import Batch, Split
from seqsum.data.growing import lengths_of
from seqsum.data.index_tables import IndexBatch
from seqsum.data.indexed import IndexedData
from seqsum.data.sums import Operation, running_targets
from seqsum.errors import InputError, check_choice
from seqsum.paths import expand_home

SPLITS: tuple[Split, ...] = ("train", "val", "test")


class EncodedSums(IndexedData):
    """Sequences of digits' features with the running sum after each of them.

    The network's encoder is then `Flatten`. `python -m seqsum.experiments counting` writes such features.

    Args:
        features: File written by torch.save: for each of `train`, `val` and `test` a dict of `features`, `(N, F)`, and
            `labels`, `(N,)`.
        sequence_length: Digits per sequence, as for `DigitSums`.
        operation: `alternating` for +d1 -d2 +d3 …, `sum` for +d1 +d2 +d3 ….
        batch_size: Sequences per batch on each device, `B`; where lengths grow, those of the first length.
        seed: Seed of the sequences in training; the command line passes `seed_everything`.
    """

    dataset = "encoded digits"
    trained_with = ("operation",)

    def __init__(
        self,
        features: str,
        sequence_length: int | tuple[int, int] | dict[float, int] = 10,
        operation: Operation = "alternating",
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        check_choice("--data.operation", operation, Operation)
        super().__init__(lengths_of(sequence_length), batch_size, seed)
        self.save_hyperparameters()
        self.path = features
        self.operation: Operation = operation
        self.splits: dict[Split, dict[str, Tensor]] = {}

    def load(self) -> None:
        """Read the features.

        Raises:
            InputError: The file can't be read, or lacks a split, or one is shorter than a sequence.
        """
        if not self.splits:
            self.splits = read_features(self.path)
            self.check_length({split: self.count(split) for split in self.splits})

    def setup(self, stage: str) -> None:
        self.load()

    def count(self, split: Split) -> int:
        return len(self.splits[split]["labels"])

    def gather(self, batch: IndexBatch) -> Batch:
        """Turn this process's rows of an index table `(B, T)` into features `(B, T, F)` and running sums `(B, T)`."""
        digits, rows = self.splits[batch.split], batch.rows[batch.share]
        if digits["labels"].device != rows.device:  # once
            digits = {name: tensor.to(rows.device) for name, tensor in digits.items()}
            self.splits[batch.split] = digits
        targets = running_targets(digits["labels"][rows], self.operation)
        return Batch(digits["features"][rows], targets, rows=batch.rows)

    def describe(self) -> str:
        size = self.splits["train"]["features"].shape[1]
        return f"{size} features a digit, in sequences of {self.describe_lengths()}"


def read_features(path: str) -> dict[Split, dict[str, Tensor]]:
    """Read features and labels by split; the file is read as data, and no code in it is run."""
    path = expand_home(path)
    if not Path(path).is_file():
        raise InputError(f"`--data.features` (={path}) is not a file")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        splits = {split: {name: found[split][name] for name in ("features", "labels")} for split in SPLITS}
    except Exception as error:  # a damaged file can make the unpickler fail anywhere
        raise InputError(f"`--data.features` (={path}) can't be used: {error}") from error
    for split, tensors in splits.items():
        if why := _unfit(**tensors):
            raise InputError(f"`--data.features` (={path}) can't be used: the {split} split has {why}")
    return splits


def _unfit(features: Any, labels: Any) -> str | None:
    """Say what a split has that it must not have; None if nothing."""
    if not isinstance(features, Tensor) or not features.is_floating_point() or features.dim() != 2:
        return f"`features` that are no tensor (N, F) of floating-point numbers, but {_describe(features)}"
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64 or labels.dim() != 1:
        return f"`labels` that are no tensor (N,) of type torch.int64, but {_describe(labels)}"
    if len(features) != len(labels):
        return f"other numbers of features ({len(features)}) and labels ({len(labels)})"
    return None


def _describe(value: Any) -> str:
    return f"{tuple(value.shape)} of {value.dtype}" if isinstance(value, Tensor) else type(value).__name__
