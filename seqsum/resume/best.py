"""The checkpoint of the best epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn

from seqsum.checkpoint_file import load_checkpoint
from seqsum.errors import InputError
from seqsum.objectives import Objective
from seqsum.resume.checkpoint_callback import CheckpointCallback
from seqsum.resume.checkpoint_files import CheckpointFiles


class BestCheckpoint(CheckpointCallback):
    """Keep `checkpoints/best.ckpt`: the epoch with the best validation score, by the objective's `monitor`.

    A resumed training copies the best checkpoint so far into its own folder, once it is certain to go on.
    """

    def __init__(self, objective: Objective) -> None:
        mode = objective.monitor_mode
        super().__init__(filename="best", monitor=objective.monitor, mode=mode, enable_version_counter=False)
        self.former: Path | None = None  # of the best checkpoint so far, until it is copied

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:  # a resumed epoch doesn't start again
        self._copy(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:  # which comes before a training is refused
            self._copy(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._copy(trainer)  # a finished training has neither

    def _copy(self, trainer: Trainer) -> None:
        writes = trainer.is_global_zero and not trainer.fast_dev_run  # type: ignore[attr-defined]  # set from outside
        if self.former is not None and writes:
            CheckpointFiles().copy(str(self.former), self.best_model_path)
        self.former = None

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if any(name.startswith("val/") for name in trainer.callback_metrics):  # Lightning warns before a validation
            super().on_train_epoch_end(trainer, pl_module)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        former = Path(str(trainer.ckpt_path)).with_name("best.ckpt")
        if trainer.state.fn != "fit" or not former.is_file():
            return
        try:
            best = load_checkpoint(str(former))
        except InputError as error:
            rank_zero_warn(f"The best epoch is looked for from here on, without what was best so far: {error}")
            return
        # skip a later best.ckpt: the training will reach it again
        if self.state_key in best["callbacks"] and best["global_step"] <= checkpoint["global_step"]:
            path, self.former = self.format_checkpoint_name({}), former
            score = best["callbacks"][self.state_key]["best_model_score"]
            self.best_k_models = {path: score}
            self.best_model_path = self.kth_best_model_path = path
            self.best_model_score = self.kth_value = self.current_score = score

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the score only if `on_load_checkpoint` has found no best.ckpt, from which it takes all.

        A best.ckpt of the same step may have been written after the checkpoint, whose score is then an earlier one.
        """
        if self.best_model_score is None:
            self.current_score = state_dict["current_score"]
