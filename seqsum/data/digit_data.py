"""What all experiments with digits share: the digits on the device, and index tables that deal them into batches."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor
from torch.utils.data import DataLoader

from seqsum.data.base import Batch, SequenceData
from seqsum.data.digits import Digits, Split, load_splits, resolve_dataset
from seqsum.data.images import read_sequences
from seqsum.data.sampler import IndexBatch, IndexBatches, Passthrough
from seqsum.errors import InputError


class DigitData(SequenceData):
    """A split stays on the device as one uint8 tensor, and the loader serves index tables alone.

    Gathering and scaling happen on the device, a batch at a time, in `on_after_batch_transfer`. Subclasses say what
    a batch is, by `gather`, and how a user's images are read, by `predict_dataloader`.

    Args:
        dataset: Which digits. `auto` is MNIST where it is on disk or can be downloaded, else `rendered`.
        root: Folder of the torchvision datasets.
        lengths: Digits in the shortest and the longest sequence.
        batch_size: Sequences in a batch, `B`, on each device.
        seed: Of all that is random in training. Validation and test are the same for every seed.
        images: For `predict`: image files, or folders of them.
        num_workers: Processes that prepare index tables.
    """

    def __init__(
        self,
        dataset: str,
        root: str,
        lengths: tuple[int, int],
        batch_size: int,
        seed: int,
        images: str | list[str] | None,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise InputError(f"`--data.batch_size` (={batch_size}) must be at least 1")
        if seed < 0:
            raise InputError(f"`--seed_everything` (={seed}) must be at least 0")
        self.dataset: str = dataset
        self.root = root
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.num_workers = num_workers
        self.images = [Path(image) for image in ([images] if isinstance(images, str) else images or [])]
        self.sequences: list[Tensor] = []  # of the user's images, uint8 (T, Y, X) each
        self.splits: dict[Split, Digits] = {}
        self.is_shared = False  # whether all processes have what the first one read

    def prepare_data(self) -> None:
        """Download on one process, and find out what is wrong before any folder is made."""
        if self.trainer is None or self.trainer.state.fn != "predict":
            self.load()

    def setup(self, stage: str) -> None:
        if stage == "predict":
            self.sequences = read_sequences(self.images) if self.images else self.examples()
        elif not self.is_shared:
            self.dataset, self.splits = self.made_once(self._read)
            self.is_shared = self.trainer is not None and self.trainer.world_size > 1

    def examples(self) -> list[Tensor]:
        """What to predict from where the user names no images, uint8 `(T, Y, X)` each."""
        raise InputError("`--data.images` must name image files, or a folder of them, to predict from")

    def load(self) -> None:
        """Read the splits."""
        self.dataset, self.splits = self._read()

    def _read(self) -> tuple[str, dict[Split, Digits]]:
        """Name and splits of the dataset; read once."""
        if self.splits:
            return self.dataset, self.splits
        dataset = resolve_dataset(self.dataset, self.root)
        splits = load_splits(dataset, self.root)
        for split, digits in splits.items():
            if self.lengths[1] > len(digits.labels):
                raise InputError(
                    f"`--data.sequence_length` (={self.lengths[1]}) must be at most {len(digits.labels)}, "
                    f"the number of images in the {split} split"
                )
        return dataset, splits

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

    def on_after_batch_transfer(self, batch: IndexBatch | Tensor, dataloader_idx: int) -> Batch | Tensor:
        return self.gather(batch) if isinstance(batch, IndexBatch) else batch

    def gather(self, batch: IndexBatch) -> Batch:
        """This process's rows of an index table `(B, T)` -> the batch that they stand for, on the table's device."""
        raise NotImplementedError(f"{type(self).__name__} must define `gather`")

    def digits_of(self, batch: IndexBatch) -> Digits:
        """The whole split that a batch is from, moved to the batch's device when that is needed first."""
        digits = self.splits[batch.split]
        if digits.images.device != batch.rows.device:
            digits = self.splits[batch.split] = Digits(*(tensor.to(batch.rows.device) for tensor in digits))
        return digits

    def describe_digits(self) -> str:
        """Which digits, and how many: `mnist digits (55,000 train, 5,000 val, 10,000 test)`."""
        counts = ", ".join(f"{len(digits.labels):,} {split}" for split, digits in self.splits.items())
        return f"{self.dataset} digits ({counts})"
