"""`Batch`, which all networks, objectives and callbacks take, and the base class of all DataModules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar, cast

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor
from torch.utils.data import DataLoader

from seqsum.data.own import Nothing, OwnInput
from seqsum.errors import InputError
from seqsum.recurrent.modes import has_values

Split = Literal["train", "val", "test"]


class ScoredSteps(NamedTuple):
    """What a network may return in training instead of outputs `(B, S, K)`: those of the scored steps alone.

    Attributes:
        outputs: `(M, K)`, in the order of `outputs[batch.scored]`.
    """

    outputs: Tensor


class Batch(NamedTuple):
    """A batch of sequences on the device.

    Attributes:
        inputs: `(B, T, …)`; for digits `(B, T, C, Y, X)`.
        targets: `(B, S)`, one for each output step; `S` may differ from `T`. `(B, 0)` if they are unknown, see
            `unlabelled`.
        mask: `(B, T)`, True where an input step exists, or None when all do.
        target_mask: `(B, S)`, True where a target is scored; None to use `mask`.
        rows: Positions in the split that the sequences were made from, for messages; those of all processes.
        negatives: Answers drawn at random, `(G, N)`, for losses that compare the right one with a sample of all. `G`
            divides `B`, and each run of `B / G` sequences shares one row. None for other losses.
    """

    inputs: Tensor
    targets: Tensor
    mask: Tensor | None = None
    target_mask: Tensor | None = None
    rows: Tensor | None = None
    negatives: Tensor | None = None

    @property
    def scored(self) -> Tensor | None:
        """Mask of the scored targets, `(B, S)`; None when all are scored."""
        return self.mask if self.target_mask is None else self.target_mask

    def pair(self, outputs: Tensor | ScoredSteps, by_step: bool = False) -> tuple[Tensor, Batch]:
        """Return a network's outputs and the batch that they belong to.

        Args:
            outputs: Returned as they are, with this batch, unless they are `ScoredSteps`.
            by_step: Whether what reads them takes each step by itself, as in `Objective`. If so, `ScoredSteps` become M
                sequences of one step, `(M, 1, K)`, of a batch with their targets, `(M, 1)`, all scored. Otherwise they
                get back to their places in `(B, S, K)`, between zeros.

        Raises:
            InputError: The outputs are no tensor, or those of another number of steps than are scored.
        """
        if isinstance(outputs, Tensor):
            return outputs, self
        if not isinstance(outputs, ScoredSteps):
            raise InputError(f"the network's outputs (={type(outputs).__name__}) must be a tensor or `ScoredSteps`")
        targets = (self.targets if self.scored is None else self.targets[self.scored]).flatten().unsqueeze(1)
        shape = tuple(outputs.outputs.shape)
        if len(shape) != 2 or shape[0] != len(targets):
            raise InputError(
                f"`ScoredSteps` of shape {shape} must be of (M, K) with M={len(targets)}, one for each scored target: "
                "`outputs[batch.scored]`"
            )
        if by_step:
            return outputs.outputs.unsqueeze(1), self._replace(targets=targets, mask=None, target_mask=None)
        if self.scored is None:
            return outputs.outputs.unflatten(0, self.targets.shape), self
        placed = outputs.outputs.new_zeros(*self.targets.shape, shape[1])
        return placed.index_put(self.scored.nonzero(as_tuple=True), outputs.outputs), self

    @property
    def tensors(self) -> tuple[Tensor | None, ...]:
        """All that a network or an objective reads: every field but `rows`."""
        return *self[:4], self.negatives

    def take(self, rows: Tensor | slice) -> Batch:
        """Return the sequences at positions `rows`, `(M,)`, each with its own row of `negatives`; without `rows`."""
        chosen = self._replace(negatives=None).map(lambda tensor: tensor[rows])
        if self.negatives is None:
            return chosen
        count, groups = len(self.inputs), len(self.negatives)
        group_of = torch.arange(count, device=self.negatives.device) // (count // groups)
        return chosen._replace(negatives=self.negatives[group_of[rows]])

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """Apply a function to every tensor but `rows`, which is dropped: `batch.map(lambda tensor: tensor[:4])`."""
        changed = (None if tensor is None else change(tensor) for tensor in self.tensors)
        inputs, targets, mask, target_mask, negatives = changed
        assert inputs is not None
        assert targets is not None
        return Batch(inputs, targets, mask, target_mask, None, negatives)


def check_batch(batch: Any) -> None:
    """Check what a loader yields: that it is a `Batch`, and that its tensors fit each other.

    Raises:
        InputError: They don't.
    """
    if not isinstance(batch, Batch):
        raise InputError(f"the data's loaders must yield `seqsum.data.Batch`, not {type(batch).__name__}")
    for name, tensor in (("inputs", batch.inputs), ("targets", batch.targets)):
        if not isinstance(tensor, Tensor):
            raise InputError(f"`{name}` of the batch must be a tensor, not {type(tensor).__name__}")
        if tensor.dim() > 1 and len(tensor) != len(batch.inputs):
            raise InputError(f"the batch has {len(batch.inputs)} sequences of inputs, but {len(tensor)} of targets")
        if tensor.dim() < 2:
            axes = "(B, T, …)" if name == "inputs" else "(B, S): with one for each sequence, (B, 1)"
            raise InputError(f"`{name}` of the batch, of shape {tuple(tensor.shape)}, must be of {axes}")
    masks = {"mask": (batch.mask, batch.inputs, "inputs"), "target_mask": (batch.target_mask, batch.targets, "targets")}
    for name, (mask, masked, of) in masks.items():
        if mask is not None and not isinstance(mask, Tensor):
            raise InputError(f"`{name}` of the batch must be a tensor, not {type(mask).__name__}")
        if mask is not None and (mask.dtype != torch.bool or mask.shape != masked.shape[:2]):
            raise InputError(
                f"`{name}` of the batch, of {mask.dtype} and shape {tuple(mask.shape)}, must be of torch.bool and "
                f"{tuple(masked.shape[:2])}, as the {of}"
            )
    if batch.target_mask is None and batch.mask is not None and batch.mask.shape != batch.targets.shape[:2]:
        raise InputError(
            f"a batch with a `mask` and targets of other steps, {tuple(batch.targets.shape)}, needs a `target_mask` of "
            "that shape, which says what targets are scored"
        )


def refuse_tensor(batch: Any) -> None:
    """Raise an InputError if a network is given a tensor, as torch's are, in place of a `Batch`."""
    if isinstance(batch, Tensor):
        raise InputError(
            "a network reads a `seqsum.data.Batch`, and this is a tensor: `seqsum.data.unlabelled(inputs)` makes one"
        )


def outside(numbers: Tensor, count: int) -> int | None:
    """Return one of some whole numbers that is not from 0 to `count` - 1, or None.

    It is None on a GPU, where reading the numbers would make the host wait in every step, and where they can't be read.
    """
    if not numbers.is_cpu or not has_values(numbers) or numbers.numel() == 0:
        return None
    least, most = map(int, numbers.aminmax())
    return least if least < 0 else most if most >= count else None


def unlabelled(inputs: Tensor, mask: Tensor | None = None) -> Batch:
    """Make a batch without targets from inputs `(B, T, …)`, as `predict` reads it."""
    return Batch(inputs, torch.empty(len(inputs), 0, device=inputs.device), mask)


Made = TypeVar("Made")


class SequenceData(LightningDataModule):
    """Base class of DataModules that yield `Batch`es.

    Attributes:
        dataset: Name of the data actually used, for `results.json` and the run's folder; by default that of the class.
        own: What was found in the user's own input for `predict`.
        trained_with: Names of arguments that weights depend on: what a network learned with one value means nothing
            with another.
    """

    trained_with: ClassVar[Sequence[str]] = ()
    dataset: str
    own: OwnInput

    def __init__(self) -> None:
        super().__init__()
        if not hasattr(self, "dataset"):
            self.dataset = type(self).__name__
        self.own = Nothing()
        self.prepare_data_per_node = False  # rank 0 sends what it read to all others
        self.is_shared = False  # whether it has done so

    @classmethod
    def sizes(cls, settings: Mapping[str, Any]) -> dict[str, int]:
        """Return sizes by name that a network or an objective follows where it leaves them out.

        On the command line, an argument whose default is None follows the size of the same name, or that which its
        class names in `follows`. Here it is `vocabulary_size`, if the data have such an argument.

        Args:
            settings: Arguments of the data.
        """
        size = settings.get("vocabulary_size")
        return {} if size is None else {"vocabulary_size": size}

    def check_trained_with(self, trained: Mapping[str, Any]) -> None:
        """Check the arguments in `trained_with` against those of a checkpoint's training.

        Args:
            trained: The arguments of the data in that training; one that is not there is not checked.

        Raises:
            InputError: One differs.
        """
        for name in self.trained_with:
            here = self.hparams.get(name)
            if name in trained and here != trained[name]:
                raise InputError(f"`--data.{name}` (={here}) must be {trained[name]}, as the checkpoint was trained")

    def read_once(self, read: Callable[[], Made]) -> Made:
        """Return what `read` returns on rank 0, which sends it to the others; call this in each `setup`, on every rank.

        Downloads and rendering then happen once, however the processes were started, and all see the same data. Rank 0
        may have read them before there is a trainer, as the command line does: the others wait for them nevertheless.

        Args:
            read: Reads at its first call; at others it returns what was read or received before.
        """
        if self.is_shared or self.trainer is None or self.trainer.world_size == 1:
            return read()
        self.is_shared = True
        return cast("Made", self.trainer.strategy.broadcast(read() if self.trainer.is_global_zero else None))

    def predict_dataloader(self) -> DataLoader[Batch]:
        return DataLoader(self.own_batches(), batch_size=None)  # type: ignore[arg-type]  # a list is a dataset

    def own_batches(self) -> list[Batch]:
        """Make the batches of the user's own input, which `predict` reads.

        Raises:
            InputError: The data take none.
        """
        raise InputError(
            f"{type(self).__name__} takes no input of your own, which `predict` needs: it must define "
            "`own_batches`, see docs/extending.md"
        )

    @property
    def has_test_split(self) -> bool:
        """Whether there is a test split: a user's own data need not have one."""
        return is_overridden("test_dataloader", self)

    def require_test_split(self) -> None:
        """Raise an InputError if there is no test split."""
        if not self.has_test_split:
            raise InputError(f"{type(self).__name__} has no `test_dataloader`, and so no test split")

    def describe(self) -> str:
        """Describe the sequences and how many there are, in one line for the user; by default by the data's name."""
        return self.dataset
