"""Random numbers that depend on where a training is, and not on how it came there."""

from __future__ import annotations

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from seqsum.data.base import Batch


class Seeds(Callback):
    """Seeds torch's global generator, from which dropout draws, before every training step and every evaluation.

    So a training that goes on draws what an undisturbed one would, whatever else drew before; one that is
    killed leaves no state to save; and each process has numbers of its own. The order and the warps of the
    digits have seeds of their own (`IndexBatches`).

    Args:
        seed: Of everything random in the run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        self._reseed(trainer, 0, trainer.current_epoch, batch_idx)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._reseed(trainer, 1)  # the same numbers each time, so that epochs compare

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._reseed(trainer, 1)

    def _reseed(self, trainer: Trainer, *place: int) -> None:
        entropy = (self.seed, trainer.global_rank, *place)
        seed_generators(int(np.random.SeedSequence(entropy).generate_state(1)[0]), trainer.strategy.root_device)


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed torch's generators of the CPU and of a device.

    `torch.manual_seed` would seed those of all kinds of devices that torch knows. For one that is not in use it
    writes down a traceback, each time, in case it will be: that takes longer than a step on a GPU.
    """
    if device.type not in ("cpu", "cuda"):
        torch.manual_seed(seed)
        return
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
