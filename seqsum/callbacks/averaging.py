"""Evaluate a moving average of the weights instead of the weights themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging, WeightAveraging
from torch import Tensor


class AveragedWeights(EMAWeightAveraging):
    """Validate, save and test an exponential moving average (EMA) of the weights.

    Differs from Lightning's `EMAWeightAveraging` in three ways. The average soon forgets the first weights, so that it
    can be tested after a hundred steps: after `n` steps it keeps `(1 + n) / (10 + n)` of itself where that is less than
    `decay`, as in TensorFlow. The test after a training uses the average too; Lightning would load the current weights
    of the best epoch. And every checkpoint keeps weights and average apart, even one saved during a validation, when
    the two have changed places, or at the end.

    Args:
        device: Where the average is kept; by default where the weights are.
        use_buffers: Whether buffers, such as running statistics, are averaged too.
        decay: Share of itself that the average keeps in an update: 0.99 averages over about the last hundred.
        update_every_n_steps, update_starting_at_step, update_starting_at_epoch: When it is updated.
    """

    changed_places = False

    def __init__(
        self,
        device: torch.device | str | int | None = None,
        use_buffers: bool = True,
        decay: float = 0.999,
        update_every_n_steps: int = 1,
        update_starting_at_step: int | None = None,
        update_starting_at_epoch: int | None = None,
    ) -> None:
        # not that of `EMAWeightAveraging`, which takes no other average
        WeightAveraging.__init__(self, device, use_buffers, avg_fn=warmed_up(decay))
        self.update_every_n_steps = update_every_n_steps
        self.update_starting_at_step = update_starting_at_step
        self.update_starting_at_epoch = update_starting_at_epoch

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "fit":  # `validate` after it evaluates what it is given
            super().on_validation_epoch_start(trainer, pl_module)
            self.changed_places = True

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.changed_places:
            super().on_validation_epoch_end(trainer, pl_module)
            self.changed_places = False

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.on_validation_epoch_end(trainer, pl_module)  # an interrupted validation doesn't come to its end

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        if self.changed_places:
            average, weights = checkpoint["current_model_state"], checkpoint["state_dict"]
            checkpoint.update(state_dict=average, current_model_state=weights)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Do nothing yet: the training's last checkpoint is written after this hook."""

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_end(trainer, pl_module)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if trainer.state.fn == "fit":  # only a resumed training needs both the weights and their average
            super().on_load_checkpoint(trainer, pl_module, checkpoint)


def warmed_up(decay: float) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Make the function that updates an average: `(average, current, n) -> average`, after `n` updates.

    Raises:
        ValueError: `decay` is no share.
    """
    if not 0 <= decay <= 1:
        raise ValueError(f"`decay` (={decay}) must be between 0 and 1")

    def update(average: Tensor, current: Tensor, count: Tensor) -> Tensor:
        kept = ((1 + count) / (10 + count)).clamp(max=decay)  # on the device: a number would wait for it
        return average * kept + current * (1 - kept)

    return update
