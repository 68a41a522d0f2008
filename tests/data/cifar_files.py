"""Writes small datasets in the format of CIFAR-10 and CIFAR-100."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from torch import Tensor

FOLDERS = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
FILES = {
    "cifar10": [*(f"data_batch_{place}" for place in range(1, 6)), "test_batch"],
    "cifar100": ["train", "test"],
}
LABELS = {"cifar10": "labels", "cifar100": "fine_labels"}
CLASSES = {"cifar10": 10, "cifar100": 100}


def random_images(name: str, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw images `(N, 3, 32, 32)` and labels: red is below 85, blue above 170, and green between."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(85, (count, 3, 32, 32), generator=generator) + torch.tensor([0, 85, 170]).view(3, 1, 1)
    return images.to(torch.uint8), torch.randint(CLASSES[name], (count,), generator=generator)


def write_cifar(root: Path, name: str, count: int) -> Path:
    """Write files of `count` images each, drawn by the place of the file as the seed; return the folder."""
    folder = root / FOLDERS[name]
    folder.mkdir(parents=True)
    for seed, file in enumerate(FILES[name]):
        images, labels = random_images(name, count, seed)
        content = {"data": images.flatten(1).numpy(), LABELS[name]: labels.tolist(), "filenames": ["x.png"] * count}
        (folder / file).write_bytes(pickle.dumps(content, protocol=2))
    meta, key = ("batches.meta", "label_names") if name == "cifar10" else ("meta", "fine_label_names")
    (folder / meta).write_bytes(pickle.dumps({key: [f"kind {place}" for place in range(CLASSES[name])]}, protocol=2))
    return folder


def written(name: str, count: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """What the training files and the test file contain."""
    *train, test = (random_images(name, count, seed) for seed in range(len(FILES[name])))
    images, labels = zip(*train, strict=True)
    return (torch.cat(images), torch.cat(labels)), test
