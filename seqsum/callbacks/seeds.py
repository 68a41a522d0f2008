"""Make random numbers depend on the current step alone, not on what ran before."""

from __future__ import annotations

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from seqsum.data.base import Batch
from seqsum.data.loader import BatchLoader
from seqsum.resume.lightning_state import begin_again


class Seeds(Callback):
    """Seed torch's global generator, used by dropout and loaders, before every epoch, training step and evaluation.

    So a resumed training draws the same numbers as an uninterrupted one, without any saved generator state, and each
    process draws different numbers. The order and the warps of the digits are seeded separately (`IndexBatches`).

    Args:
        seed: The run's seed.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.begun = -1  # epoch with which the training begins or goes on

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._reseed(trainer, 2, trainer.current_epoch)
        if not isinstance(trainer.train_dataloader, BatchLoader):  # which has numbers of its own
            begin_again(trainer)  # Lightning has begun the first epoch already
        self.begun = trainer.current_epoch

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch != self.begun:  # a loader of a user's own shuffles, and its workers draw, anew
            self._reseed(trainer, 2, trainer.current_epoch)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        self._reseed(trainer, 0, trainer.current_epoch, batch_idx)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._reseed(trainer, 1)  # the same numbers each time, so that epochs are comparable

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._reseed(trainer, 1)

    def _reseed(self, trainer: Trainer, *place: int) -> None:
        entropy = (self.seed, trainer.global_rank, *place)
        seed_generators(int(np.random.SeedSequence(entropy).generate_state(1)[0]), trainer.strategy.root_device)


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed torch's generators of the CPU and of one device.

    `torch.manual_seed` would seed all kinds of devices. For a kind not in use yet it records a traceback each time,
    which takes longer than a step on a GPU.
    """
    if device.type not in ("cpu", "cuda"):
        torch.manual_seed(seed)
        return
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
