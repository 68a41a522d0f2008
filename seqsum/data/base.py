"""What every DataModule of the package gives, and every objective and callback takes."""

from __future__ import annotations

from typing import NamedTuple

from lightning.pytorch import LightningDataModule
from torch import Tensor


class Batch(NamedTuple):
    """A batch of sequences on the device.

    Attributes:
        inputs: `(B, T, …)`; for digits `(B, T, C, Y, X)`.
        targets: `(B, T)`.
        mask: `(B, T)`, True where a step counts, or None when all do.
    """

    inputs: Tensor
    targets: Tensor
    mask: Tensor | None = None


class SequenceData(LightningDataModule):
    """A DataModule whose loaders end in `Batch`es.

    Attributes:
        dataset: Name of the data really used, for `results.json` and the run's folder.
    """

    dataset: str

    def describe(self) -> str:
        """One line for the user: what the sequences are, and how many."""
        raise NotImplementedError(f"{type(self).__name__} must define `describe`")
