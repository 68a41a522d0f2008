"""Make random numbers depend on the current step alone, not on what ran before."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from seqsum.console import print_line
from seqsum.data.base import Batch
from seqsum.data.index_tables import mix_seeds
from seqsum.data.loader import BatchLoader, generators_of, keeps_its_place, samplers_of
from seqsum.resume.exact import ExactResume
from seqsum.resume.lightning_state import batches_begun, begin_again, skip_batch

STEP, EVALUATION, EPOCH, LOADER = range(4)  # what is seeded; each gets numbers of its own


class Seeds(Callback):
    """Seed torch's global generator, used by dropout and loaders, before every epoch, training step and evaluation.

    So a resumed training draws the same numbers as an uninterrupted one, without any saved generator state, and each
    process draws different numbers. The order and the warps of the digits are seeded separately (`IndexBatches`). For
    loaders of a user's own, Python's and NumPy's global generators are seeded too, and generators that the loaders
    were given: by their first seed and the epoch, in all processes alike.

    Args:
        seed: The run's seed.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.begun = -1  # epoch with which the training begins or goes on
        self.draws = False  # whether the loader may draw from global generators
        self.generators: list[tuple[torch.Generator, int]] = []  # of loaders of a user's own, with their first seeds

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.begun = trainer.current_epoch
        self.draws = not isinstance(trainer.train_dataloader, BatchLoader)  # which has numbers of its own
        found = generators_of(trainer.train_dataloader) if self.draws else []
        self.generators = [(generator, generator.initial_seed()) for generator in found]
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # Lightning sets it from outside
        done = next((each.within for each in callbacks if isinstance(each, ExactResume)), None)
        if self.draws and done is not None and done < trainer.num_training_batches:
            self._go_on_within(trainer, done)

    def _go_on_within(self, trainer: Trainer, done: int) -> None:
        """Begin the epoch again, and skip the batches that are done, unless the loader does so by itself."""
        for sampler in samplers_of(trainer.train_dataloader):
            if hasattr(sampler, "set_epoch"):  # Lightning does so later
                sampler.set_epoch(trainer.current_epoch)
        self._begin(trainer)
        if not keeps_its_place(trainer.train_dataloader):
            if done and trainer.is_global_zero:
                print_line(f"The {done} batches of this epoch that are done are read again, and skipped")
            for place in range(done):  # with the numbers that were drawn for each
                skip_batch(trainer)
                self._seed_loader(trainer, place + 1)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begin(trainer)  # Lightning does not call this within an epoch

    def _begin(self, trainer: Trainer) -> None:
        """Seed what a loader of a user's own shuffles by, and its workers draw, in this epoch."""
        self._reseed(trainer, EPOCH, trainer.current_epoch)
        for generator, first in self.generators:
            generator.manual_seed(mix_seeds(first, trainer.current_epoch))
        if self.draws and trainer.current_epoch == self.begun:
            begin_again(trainer)  # Lightning has begun the first epoch already

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        self._reseed(trainer, STEP, trainer.current_epoch, batch_idx)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        self._seed_loader(trainer, batch_idx + 1)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._seed_loader(trainer, batches_begun(trainer))

    def _seed_loader(self, trainer: Trainer, batch_idx: int) -> None:
        """Seed what a loader of a user's own draws for its next batch."""
        if self.draws:
            self._reseed(trainer, LOADER, trainer.current_epoch, batch_idx)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._reseed(trainer, EVALUATION)  # the same numbers each time, so that epochs are comparable

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._reseed(trainer, EVALUATION)

    def _reseed(self, trainer: Trainer, *place: int) -> None:
        seed = mix_seeds(self.seed, trainer.global_rank, *place)
        seed_generators(seed, trainer.strategy.root_device)
        if self.draws:
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002  # the one that data of a user's own may draw from


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
