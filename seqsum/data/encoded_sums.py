"""Running sums of digits that an encoder has read before: for networks that only count, trained in seconds."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from seqsum.data.base import Batch, Split
from seqsum.data.growing import lengths_of
from seqsum.data.index_tables import IndexBatch
from seqsum.data.indexed import IndexedData
from seqsum.data.sums import Operation, running_targets
from seqsum.errors import InputError, check_choice

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
    if not Path(path).is_file():
        raise InputError(f"`--data.features` (={path}) is not a file")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        splits = {split: {name: found[split][name] for name in ("features", "labels")} for split in SPLITS}
        matching = all(len(split["features"]) == len(split["labels"]) for split in splits.values())
    except Exception as error:  # a damaged file can make the unpickler fail anywhere
        raise InputError(f"`--data.features` (={path}) can't be used: {error}") from error
    if not matching:
        raise InputError(f"`--data.features` (={path}) has other numbers of features and labels")
    return splits
