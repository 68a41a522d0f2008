"""What is kept of a training: its best and its last epoch, and an average of the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException

from seqsum.callbacks.run import print_line, run_folder
from seqsum.objectives import Objective


class BestCheckpoint(ModelCheckpoint):
    """`checkpoints/best.ckpt`: the epoch that is best by the objective's own measure, on the validation data."""

    def __init__(self, objective: Objective) -> None:
        mode = objective.monitor_mode
        super().__init__(filename="best", monitor=objective.monitor, mode=mode, enable_version_counter=False)


class LastCheckpoint(ModelCheckpoint):
    """`checkpoints/last.ckpt`, written after every epoch and when the training is interrupted."""

    def __init__(self) -> None:
        super().__init__(filename="last", enable_version_counter=False, save_on_exception=True)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if trainer.global_step == 0:  # nothing worth keeping, and maybe no optimizer yet
            return
        super().on_exception(trainer, pl_module, exception)
        if (folder := run_folder(trainer)) and isinstance(exception, KeyboardInterrupt | SIGTERMException):
            last = Path(self.dirpath or "") / "last.ckpt"
            print_line(f"Interrupted. Go on with: python train.py -c {folder / 'config.yaml'} --ckpt_path={last}")


class AveragedWeights(EMAWeightAveraging):
    """Validates, keeps and tests an exponential moving average of the weights.

    Lightning's own, but for one thing: the test after a training is of the average too. Lightning would
    load the weights as they were when the best average was met.
    """

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if trainer.state.fn == "fit":  # going on with a training takes both, the weights and their average
            super().on_load_checkpoint(trainer, pl_module, checkpoint)
