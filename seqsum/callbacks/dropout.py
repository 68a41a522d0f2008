"""Recurrent dropout that ends before the training does."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from seqsum.errors import InputError


class EndRecurrentDropout(Callback):
    """Switch recurrent dropout off after a share of the training.

    While it is on, gates learn not to depend on single units of the hidden state. Once it is off, the network learns to
    be exact, which the noise prevents.

    Args:
        after: Share of the training's steps, from 0 to 1, after which there is no recurrent dropout.

    Raises:
        InputError: The share is outside [0, 1], or no part of the network has recurrent dropout.
    """

    def __init__(self, after: float = 0.6) -> None:
        if not 0 <= after <= 1:
            raise InputError(f"`after` (={after}) of EndRecurrentDropout must be between 0 and 1")
        self.after = after
        self.rates: list[tuple[Any, float]] = []  # each part of the network with recurrent dropout, and its share

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        parts: list[Any] = [part for part in pl_module.modules() if getattr(part, "recurrent_dropout", 0.0) > 0]
        if not parts:
            raise InputError("EndRecurrentDropout needs a network with `--model.recurrent_dropout`")
        self.rates = [(part, part.recurrent_dropout) for part in parts]

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if trainer.global_step >= self.after * trainer.estimated_stepping_batches:
            for part, _ in self.rates:
                part.recurrent_dropout = 0.0

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._put_back()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._put_back()

    def _put_back(self) -> None:
        """Let the next training of the same network begin with recurrent dropout."""
        for part, rate in self.rates:
            part.recurrent_dropout = rate
        self.rates = []
