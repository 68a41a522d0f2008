"""DataModule of the main experiment: sequences of digits and their running sums."""

from __future__ import annotations

from torch import Tensor

from seqsum.data.augment import augment
from seqsum.data.base import Batch, unlabelled
from seqsum.data.digit_data import DigitData
from seqsum.data.digits import DatasetName
from seqsum.data.growing import lengths_of
from seqsum.data.index_tables import IndexBatch
from seqsum.data.labels import Labels
from seqsum.data.sums import Operation, running_targets, signs
from seqsum.errors import check_at_least, check_choice

MEAN, DEVIATION = 0.1307, 0.3081  # of MNIST's training pixels; other datasets of its family come close
SEQUENCE_LENGTH: dict[float, int] = {0: 4, 0.3: 8, 0.8: 4}


class DigitSums(DigitData):
    """Sequences of handwritten digits with the running sum after each of them.

    Args:
        dataset: Dataset to use. `auto` is MNIST if it is on disk or can be downloaded, else `rendered`.
        root: Folder of the torchvision datasets.
        sequence_length: Digits per sequence, `T`. Or [shortest, longest], where each training batch has a length in
            this range; validation and test use the longest. Or lengths by the share of the training at which they
            begin, such as `{0: 10, 0.4: 50, 0.7: 200}`; validation and test use the last. By default it is 4, and 8 for
            a while, from which a network learns to count beyond what it is trained on.
        operation: `alternating` for +d1 -d2 +d3 …, `sum` for +d1 +d2 +d3 ….
        batch_size: Sequences per batch on each device, `B`. Where lengths grow, those of the first length: later
            batches have about as many digits, in fewer sequences.
        augment: Whether to rotate, stretch, shear and shift training images at random.
        elastic: Largest additional elastic displacement, in pixels (Simard et al., 2003), if `augment` is on.
        num_workers: Number of processes that prepare index tables. A table takes microseconds, so 0 is best.
        seed: Seed of the sequences and warps in training; the command line passes `seed_everything`.
            Validation and test sequences are the same for every seed.
        images: For `predict`: image files, folders of images, and patterns such as `digits/*.png`. Images of
            one digit each form one sequence, in order; an image of several digits is a sequence of its own.
        labels: Labelled training digits to use: all, or so many, drawn by the seed, every class among them.
            They are repeated, so that an epoch stays as long.
    """

    is_capturable = True
    trained_with = ("operation",)

    def __init__(
        self,
        dataset: DatasetName = "auto",
        root: str = "data",
        sequence_length: int | tuple[int, int] | dict[float, int] = SEQUENCE_LENGTH,
        operation: Operation = "alternating",
        batch_size: int = 128,
        augment: bool = True,
        elastic: float = 0.0,
        num_workers: int = 0,
        seed: int = 0,
        images: str | list[str] | None = None,
        labels: Labels = "all",
    ) -> None:
        check_choice("--data.dataset", dataset, DatasetName)
        check_choice("--data.operation", operation, Operation)
        check_at_least("--data.elastic", elastic, 0, whole=False)
        super().__init__(dataset, root, lengths_of(sequence_length), batch_size, seed, images, num_workers, labels)
        self.save_hyperparameters(ignore=["images", "num_workers"])
        self.operation: Operation = operation
        self.augment = augment
        self.elastic = elastic

    def own_batches(self) -> list[Batch]:
        """Serve the user's images as batches of one sequence, inputs `(1, T, C, Y, X)`."""
        return [unlabelled(scale(digits)[None]) for digits, _ in self.own.sequences]

    def describe(self) -> str:
        terms = " ".join(f"{'+' if sign > 0 else '-'}d{t}" for t, sign in enumerate(signs(3, self.operation), start=1))
        length = self.describe_lengths()
        return f"{self.dataset} digits ({self.describe_splits()}) in sequences of {length}, targets {terms} …"

    def gather(self, batch: IndexBatch) -> Batch:
        """Turn this process's rows of an index table `(B, T)` into images `(B, T, 1, Y, X)` and running sums `(B, T)`.

        Everything happens on the table's device.
        """
        digits = self.digits_of(batch)
        rows = batch.rows[batch.share]  # may be empty in a short last batch
        # faster than images[rows], which copies byte by byte
        pixels = digits.images.index_select(0, rows.flatten()).unsqueeze(1) / 255  # (B·T, 1, Y, X)
        if batch.split == "train" and self.augment and len(pixels) > 0:
            pixels = augment(pixels, batch, self.elastic)
        inputs = standardise(pixels).unflatten(0, rows.shape)  # (B, T, 1, Y, X)
        return Batch(inputs, running_targets(digits.labels[rows], self.operation), rows=batch.rows)


def scale(images: Tensor) -> Tensor:
    """Standardise uint8 images `(N, Y, X)`; return float `(N, 1, Y, X)`."""
    return standardise(images.unsqueeze(1) / 255)


def standardise(pixels: Tensor) -> Tensor:
    """Standardise pixels from 0 to 1."""
    return (pixels - MEAN) / DEVIATION
