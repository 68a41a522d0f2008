"""An average of the weights over the last steps, in place of the weights."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging


class AveragedWeights(EMAWeightAveraging):
    """Validates, keeps and tests an exponential moving average of the weights.

    Lightning's own, but for two things. The test after a training is of the average too; Lightning would
    load the weights as they were when the best average was met. And weights and average are told apart in
    checkpoints of all moments: within a validation, when they have changed places, and at the end.
    """

    changed_places = False

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_validation_epoch_start(trainer, pl_module)
        self.changed_places = True

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_validation_epoch_end(trainer, pl_module)
        self.changed_places = False

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if self.changed_places:  # a validation that is interrupted, and so is not gone on with here
            self.on_validation_epoch_end(trainer, pl_module)
        super().on_save_checkpoint(trainer, pl_module, checkpoint)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Nothing yet: the last checkpoint of the training is still to be written."""

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_end(trainer, pl_module)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if trainer.state.fn == "fit":  # going on with a training takes both, the weights and their average
            super().on_load_checkpoint(trainer, pl_module, checkpoint)
