"""Write histograms to TensorBoard."""

from __future__ import annotations

from collections.abc import Iterable

from lightning.pytorch import Trainer
from torch import Tensor

from seqsum.run import tensorboard_writers


def add_histograms(trainer: Trainer, group: str, tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Add a histogram of each tensor, without NaN and values beyond TensorBoard's last bin."""
    for name, tensor in tensors:
        values = tensor.detach().float()
        values = values[values.abs() < 1e20]
        if len(values) > 0:
            for writer in tensorboard_writers(trainer):
                writer.add_histogram(f"{group}/{name}", values, trainer.global_step)
