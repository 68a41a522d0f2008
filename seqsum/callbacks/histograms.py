"""Histograms for TensorBoard."""

from __future__ import annotations

from collections.abc import Iterable

from lightning.pytorch import Trainer
from torch import Tensor

from seqsum.run import tensorboard_writers


def add_histograms(trainer: Trainer, group: str, tensors: Iterable[tuple[str, Tensor]]) -> None:
    """A histogram of each tensor's values, but for NaN and what lies beyond TensorBoard's last bin."""
    for name, tensor in tensors:
        values = tensor.detach().float()
        values = values[values.abs() < 1e20]
        if len(values) > 0:
            for writer in tensorboard_writers(trainer):
                writer.add_histogram(f"{group}/{name}", values, trainer.global_step)
