"""The rival in the benchmarks: a typical torchvision dataset with transforms per image, a DataLoader, an encoder.

It makes the same kind of batches from the same digits, and its network computes the same.
"""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from seqsum.data.base import Batch
from seqsum.data.digits import Digits
from seqsum.data.sums import running_targets
from seqsum.networks import ConvEncoder


class DigitImages(Dataset[tuple[Tensor, int]]):
    """Digits as in `torchvision.datasets.MNIST`: one PIL image at a time, through a transform."""

    def __init__(self, digits: Digits, augment: bool) -> None:
        self.digits = digits
        steps = [transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))]
        if augment:  # about what seqsum.data.warps does to a whole batch
            steps.insert(0, transforms.RandomAffine(15, (0.07, 0.07), (0.88, 1.12), 11))
        self.transform = transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self.digits.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = Image.fromarray(self.digits.images[index].numpy())
        return self.transform(image), int(self.digits.labels[index])


class DigitSequences(Dataset[tuple[Tensor, Tensor]]):
    """Sequences of random digits and their running sums."""

    def __init__(self, images: DigitImages, sequence_length: int) -> None:
        self.images, self.sequence_length = images, sequence_length

    def __len__(self) -> int:
        return len(self.images) // self.sequence_length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        picked = torch.randint(len(self.images), (self.sequence_length,)).tolist()
        images, labels = zip(*(self.images[k] for k in picked), strict=True)
        return torch.stack(images), running_targets(torch.tensor(labels))


class PlainEncoder(ConvEncoder):
    """`ConvEncoder` with torch's default memory format, channels first; it passes on mixtures of codes."""

    def __init__(self) -> None:
        super().__init__(activation="softmax")
        self.to(memory_format=torch.contiguous_format)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


def collate(rows: list[tuple[Tensor, Tensor]]) -> Batch:
    """Collate rows into the `Batch` that the training step takes."""
    images, targets = zip(*rows, strict=True)
    return Batch(torch.stack(images), torch.stack(targets))


def plain_dataloader(
    digits: Digits, sequence_length: int, batch_size: int, augment: bool, num_workers: int
) -> DataLoader[tuple[Tensor, Tensor]]:
    """Make a DataLoader of shuffled batches `(B, T, 1, Y, X)`; an incomplete last batch is dropped."""
    return DataLoader(
        DigitSequences(DigitImages(digits, augment), sequence_length),
        batch_size,
        shuffle=True,
        drop_last=True,
        collate_fn=collate,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
    )
