"""Base DataModule whose loaders yield index tables, from which batches are made on the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch.utils.data import DataLoader

from seqsum.data.base import Batch, SequenceData, Split
from seqsum.data.growing import GrowingBatches, Growth
from seqsum.data.index_tables import IndexBatch, IndexBatches, Passthrough
from seqsum.data.loader import BatchLoader
from seqsum.errors import InputError, check_at_least


class IndexedData(SequenceData):
    """Loads index tables only; `on_after_batch_transfer` turns each into a batch on the device.

    Subclasses define the number of items of a split in `count`, and how a table becomes a batch in `gather`.

    Args:
        lengths: Items in the shortest and the longest sequence; or lengths that grow during the training.
        batch_size: Sequences per batch on each device, `B`.
        seed: Seed of everything random in training. Validation and test are the same for every seed.
        num_workers: Number of processes that prepare index tables.

    Attributes:
        lengths: Items in the shortest and the longest sequence.
        evaluated_length: Items in each sequence of validation and test: in the longest, or where lengths grow in the
            last.
        is_capturable: Whether a CUDA graph can capture `gather`: it must run on the device and depend only on the
            table's rows and seed and on numbers among the attributes. Not inherited: each class sets it for itself,
            because a subclass may gather in another way.
        make_batch: Called instead of `gather` if set, as a training with CUDA graphs does.
    """

    is_capturable = False
    make_batch: Callable[[IndexBatch], Batch] | None = None

    def __init__(self, lengths: tuple[int, int] | Growth, batch_size: int, seed: int, num_workers: int = 0) -> None:
        super().__init__()
        check_at_least("--data.batch_size", batch_size, 1)
        check_at_least("--seed_everything", seed, 0)
        check_at_least("--data.num_workers", num_workers, 0)
        self.growth = lengths if isinstance(lengths, Growth) else None
        self.lengths = (lengths.shortest, lengths.longest) if isinstance(lengths, Growth) else lengths
        self.evaluated_length = lengths.last if isinstance(lengths, Growth) else lengths[1]
        self.batch_size = batch_size
        self.seed = seed
        self.num_workers = num_workers

    @property
    def trained_lengths(self) -> list[int]:
        """All lengths that sequences of the training have, in ascending order."""
        if self.growth is not None:
            return sorted({length for _, length in self.growth.begins})
        return list(range(self.lengths[0], self.lengths[1] + 1))

    def prepare_data(self) -> None:
        """Read or download the data on one process, so that errors show before any folder is made."""
        if self.trainer is None or self.trainer.state.fn != "predict":
            self.load()

    def load(self) -> None:
        """Read the data; nothing here, for data that are drawn."""

    def count(self, split: Split) -> int:
        """Return the number of items in an epoch of the split."""
        raise NotImplementedError(f"{type(self).__name__} must define `count`")

    def check_length(self, counts: Mapping[Split, int]) -> None:
        """Raise an InputError unless each split has enough items for the longest sequence."""
        for split, count in counts.items():
            if self.lengths[1] > count:
                raise InputError(
                    f"`--data.sequence_length` (={self.lengths[1]}) must be at most {count}, the number of items in "
                    f"the {split} split"
                )

    def gather(self, batch: IndexBatch) -> Batch:
        """Make a batch from this process's rows of an index table `(B, T)`, on the table's device."""
        raise NotImplementedError(f"{type(self).__name__} must define `gather`")

    def train_dataloader(self) -> DataLoader[IndexBatch]:
        return self._dataloader("train")

    def val_dataloader(self) -> DataLoader[IndexBatch]:
        return self._dataloader("val")

    def test_dataloader(self) -> DataLoader[IndexBatch]:
        return self._dataloader("test")

    def _dataloader(self, split: Split) -> DataLoader[IndexBatch]:
        seed = self.seed if split == "train" else 0
        rank, processes = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        sampler = self.make_sampler(split, seed, rank, processes)
        sampler.repeats = self.trainer is not None and self.trainer.overfit_batches > 0  # type: ignore[attr-defined]
        return BatchLoader(Passthrough(), batch_size=None, sampler=sampler, num_workers=self.num_workers)

    def make_sampler(self, split: Split, seed: int, rank: int, processes: int) -> IndexBatches:
        """Make the sampler of a split's index tables."""
        self.check_length({split: self.count(split)})
        given = self.batch_size, seed, rank, processes
        if self.growth and split == "train":
            return GrowingBatches(split, self.count(split), self.growth, self._epochs(self.growth, *given), *given)
        lengths = self.lengths if split == "train" else (self.evaluated_length, self.evaluated_length)
        return IndexBatches(split, self.count(split), lengths, *given)

    def describe_lengths(self) -> str:
        """Write the lengths of the sequences for the user, and whether a training is too short for one of them."""
        if self.growth is None:
            shortest, longest = self.lengths
            return str(longest) if shortest == longest else f"{shortest} to {longest}"
        if self.trainer is None or self.trainer.state.fn != "fit":
            return str(self.growth)
        given = self.batch_size, self.seed, self.trainer.global_rank, self.trainer.world_size
        return self.growth.describe(self._epochs(self.growth, *given))

    def _epochs(self, growth: Growth, batch_size: int, seed: int, rank: int, processes: int) -> int:
        """Return the epochs of the training: on them the length of the sequences depends."""
        if self.trainer is None:
            return 1
        first = growth.first, growth.first
        batches = len(IndexBatches("train", self.count("train"), first, batch_size, seed, rank, processes))
        most: int | float = self.trainer.limit_train_batches
        batches = min(batches, most) if isinstance(most, int) else int(batches * most)
        steps_an_epoch = max(1, -(-batches // self.trainer.accumulate_grad_batches))
        epochs, steps = self.trainer.max_epochs, self.trainer.max_steps
        limits = [epochs] if epochs is not None and epochs >= 0 else []
        limits += [-(-steps // steps_an_epoch)] if steps >= 0 else []
        if not limits:
            raise InputError(
                "`--data.sequence_length` by share of the training needs `--trainer.max_epochs` or "
                "`--trainer.max_steps`; or give one length"
            )
        return max(1, min(limits))

    def on_after_batch_transfer(self, batch: IndexBatch | Batch, dataloader_idx: int) -> Batch:
        if not isinstance(batch, IndexBatch):
            return batch
        gathered = (self.make_batch or self.gather)(batch)
        # Lightning converted the index table before this hook; the batch made from it needs the same
        return self.trainer.precision_plugin.convert_input(gathered) if self.trainer else gathered
