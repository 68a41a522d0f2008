"""What every DataModule of the package gives, and every network, objective and callback takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar, cast

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from seqsum.data.own import OwnDigits


class Batch(NamedTuple):
    """A batch of sequences on the device.

    Attributes:
        inputs: `(B, T, …)`; for digits `(B, T, C, Y, X)`.
        targets: `(B, S)`, one for each step of the outputs, of which a network may give more or fewer than it reads;
            `(B, 0)` where nobody knows them, see `unlabelled`.
        mask: `(B, T)`, True where an input step exists, or None when all do.
        target_mask: `(B, S)`, True where a target is scored. By default targets belong to the input steps, and `mask`
            says so.
        rows: What the sequences were made of, for messages: positions in the split, of all processes' sequences.
    """

    inputs: Tensor
    targets: Tensor
    mask: Tensor | None = None
    target_mask: Tensor | None = None
    rows: Tensor | None = None

    @property
    def scored(self) -> Tensor | None:
        """Which targets count, `(B, S)`; None when all do."""
        return self.mask if self.target_mask is None else self.target_mask

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The batch with each of its tensors changed, `rows` left out: `batch.map(lambda tensor: tensor[:4])`."""
        tensors = (None if tensor is None else change(tensor) for tensor in self[:4])
        return Batch(*tensors)  # type: ignore[arg-type]  # inputs and targets are never None


def unlabelled(inputs: Tensor, mask: Tensor | None = None) -> Batch:
    """Inputs `(B, T, …)` whose targets nobody knows: what `predict` reads."""
    return Batch(inputs, torch.empty(len(inputs), 0, device=inputs.device), mask)


Made = TypeVar("Made")


class SequenceData(LightningDataModule):
    """A DataModule whose loaders end in `Batch`es.

    Attributes:
        dataset: Name of the data really used, for `results.json` and the run's folder.
        own: What was found in a user's own images, of data that read some.
    """

    dataset: str

    def __init__(self) -> None:
        super().__init__()
        self.own = OwnDigits([], [], [])
        self.prepare_data_per_node = False  # the first process of all sends what it read to the others

    def made_once(self, make: Callable[[], Made]) -> Made:
        """What `make` gives in the first process of a Trainer, sent to all the others: all of them must call it.

        So downloads and rendering happen once, whatever starts the processes, and all see the same data.
        """
        if self.trainer is None or self.trainer.world_size == 1:
            return make()
        return cast("Made", self.trainer.strategy.broadcast(make() if self.trainer.is_global_zero else None))

    def describe(self) -> str:
        """One line for the user: what the sequences are, and how many."""
        raise NotImplementedError(f"{type(self).__name__} must define `describe`")
