"""Evaluate a moving average of the weights instead of the weights themselves."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging


class AveragedWeights(EMAWeightAveraging):
    """Validate, save and test an exponential moving average (EMA) of the weights.

    Differs from Lightning's `EMAWeightAveraging` in two ways. The test after a training uses the average too; Lightning
    would load the current weights of the best epoch. And every checkpoint keeps weights and average apart, even one
    saved during a validation, when the two are swapped, or at the end.
    """

    changed_places = False

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_validation_epoch_start(trainer, pl_module)
        self.changed_places = True

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_validation_epoch_end(trainer, pl_module)
        self.changed_places = False

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if self.changed_places:  # an interrupted validation, which this process won't continue
            self.on_validation_epoch_end(trainer, pl_module)
        super().on_save_checkpoint(trainer, pl_module, checkpoint)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Do nothing yet: the training's last checkpoint is written after this hook."""

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_end(trainer, pl_module)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if trainer.state.fn == "fit":  # only a resumed training needs both the weights and their average
            super().on_load_checkpoint(trainer, pl_module, checkpoint)
