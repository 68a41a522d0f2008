"""What a run says and leaves behind: a line an epoch, results, predictions, a checkpoint to go on from."""

from __future__ import annotations

import json
import math
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import rich
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint, RichProgressBar
from lightning.pytorch.utilities.exceptions import SIGTERMException
from rich.table import Table
from torch import Tensor

import seqsum
from seqsum.data import DigitSums
from seqsum.data.base import Batch, SequenceData
from seqsum.data.sums import Operation, signs
from seqsum.figures import plot_sums
from seqsum.module import SequenceModule
from seqsum.objectives import Objective, StepMean


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


class ProgressBar(RichProgressBar):
    """Lightning's bar with the two figures to watch, which fit into a narrow terminal."""

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        metrics = super().get_metrics(trainer, pl_module)
        return {
            name: value
            for name, value in metrics.items()
            if name in ("train/step_loss", _module(pl_module).objective.monitor)
        }


class RunLines(Callback):
    """Says in a few lines what runs, then how each epoch went: a bar forgets, and shows nothing in a log file."""

    def __init__(self) -> None:
        self.started = 0.0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            print_line(f"Data: {_data(trainer).describe()}")
            print_line(f"Network: {_module(pl_module).network.describe()}")
            print_line(f"Device: {trainer.world_size} × {trainer.strategy.root_device}")
            print_line(f"Logs: {run_folder(trainer) or 'none'}")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking or not trainer.is_global_zero:
            return
        metrics = [f"{name} {value:.4f}" for name, value in trainer.callback_metrics.items() if name.startswith("val/")]
        epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        print_line(" · ".join([epoch, *metrics, f"{time.perf_counter() - self.started:.0f} s"]))


def _module(module: LightningModule) -> SequenceModule:
    return cast("SequenceModule", module)


def run_folder(trainer: Trainer) -> Path | None:
    """The run's own folder, which its loggers made; None without loggers, when nothing is to be written.

    Asked of the logger: `trainer.log_dir` asks all processes, and would wait for ever for those that don't
    come here too.
    """
    folders = [getattr(logger, "log_dir", None) or logger.save_dir for logger in trainer.loggers]
    return Path(folders[0]) if folders and folders[0] else None


def _data(trainer: Trainer) -> SequenceData:
    return cast("SequenceData", trainer.datamodule)  # type: ignore[attr-defined]  # set by Trainer.fit and its like


def print_line(line: str) -> None:
    """Print through rich, which keeps a progress bar below; unbroken, so that paths can be copied."""
    rich.get_console().print(line, highlight=False, markup=False, soft_wrap=True)


class TestReport(Callback):
    """After a test: a table of the metrics by step, and `results.json`.

    Args:
        experiment: Name of the run.
        seed: What everything random in the run was seeded with.
    """

    __test__ = False  # not a test class, whatever pytest makes of its name

    def __init__(self, experiment: str, seed: int | None) -> None:
        self.experiment = experiment
        self.seed = seed
        self.started = 0.0
        self.seconds: dict[str, float] = {}
        self.by_step: dict[str, list[float | None]] = {}

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = time.perf_counter()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seconds["fit"] = round(time.perf_counter() - self.started, 1)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = time.perf_counter()

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        steps = {
            name: metric
            for name, metric in _module(pl_module).test_metrics.items(keep_base=True)
            if isinstance(metric, StepMean)
        }
        values = {name: metric.by_step().tolist() for name, metric in steps.items()}
        # JSON knows no NaN: a step at which nothing was scored has no value
        self.by_step = {name: [None if math.isnan(v) else v for v in column] for name, column in values.items()}

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        self.seconds["test"] = round(time.perf_counter() - self.started, 1)
        results = self._results(trainer, pl_module)
        _print_table(results)
        if folder := run_folder(trainer):
            write_atomically(folder / "results.json", json.dumps(results, indent=2) + "\n")

    def _results(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        metrics = {name: value.item() for name, value in trainer.callback_metrics.items() if name.startswith("test/")}
        return {
            "experiment": self.experiment,
            "dataset": _data(trainer).dataset,
            "seed": self.seed,
            "test": metrics,
            "test_by_step": self.by_step,
            "checkpoint": trainer.ckpt_path,
            "parameters": sum(parameter.numel() for parameter in pl_module.parameters()),
            "seconds": self.seconds,
            "device": f"{trainer.strategy.root_device} ({platform.machine()}, {torch.get_num_threads()} threads)",
            "versions": {"python": platform.python_version(), "seqsum": seqsum.__version__}
            | {name: version(name) for name in ("torch", "torchvision", "lightning", "torchmetrics")},
        }


def _print_table(results: dict[str, Any]) -> None:
    table = Table(title=f"Test of {results['experiment']} on {results['dataset']}", title_justify="left")
    table.add_column("step", justify="right")
    for name in results["test_by_step"]:
        table.add_column(name, justify="right")
    for step, values in enumerate(zip(*results["test_by_step"].values(), strict=True), start=1):
        table.add_row(str(step), *("–" if value is None else f"{value:.4f}" for value in values))
    table.add_section()
    table.add_row("all", *(f"{results['test'][f'test/{name}']:.4f}" for name in results["test_by_step"]), style="bold")
    rich.get_console().print(table)


class SumPictures(Callback):
    """Draws digits with the running sums predicted for them: of the first test sequences, and of a user's images."""

    shown = 4  # test sequences

    def __init__(self) -> None:
        self.sequences: list[tuple[Tensor, Tensor]] = []  # images (T, Y, X), sums (T,)
        self.targets: list[Tensor] = []  # true sums (T,)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.sequences, self.targets = [], []

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int, *_: Any
    ) -> None:
        if batch_idx == 0:
            batch = Batch(batch.inputs[: self.shown], batch.targets[: self.shown])
            self._keep(batch.inputs, _module(pl_module).predict_step(batch.inputs, batch_idx))
            self.targets = list(batch.targets.cpu())

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._draw(trainer, "test_sequences.png", self.targets)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.sequences = []

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Tensor, batch: Tensor, *_: Any
    ) -> None:
        self._keep(batch, outputs)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for number, (_, sums) in enumerate(self.sequences, start=1):
            table = Table("step", "sign", "running sum", title=f"Sequence {number}", title_justify="left")
            for step, (sign, total) in enumerate(zip(signs(len(sums), self._operation(trainer)), sums, strict=True)):
                table.add_row(str(step + 1), "+" if sign > 0 else "-", str(int(total)))
            rich.get_console().print(table)
        self._draw(trainer, "predictions.png")

    def _keep(self, inputs: Tensor, sums: Tensor) -> None:
        self.sequences += zip(inputs.squeeze(2).cpu(), sums.cpu(), strict=True)

    def _operation(self, trainer: Trainer) -> Operation:
        return cast("DigitSums", _data(trainer)).operation

    def _draw(self, trainer: Trainer, name: str, targets: list[Tensor] | None = None) -> None:
        folder = run_folder(trainer)
        if trainer.is_global_zero and folder and self.sequences:
            images, sums = zip(*self.sequences, strict=True)
            path = folder / name
            plot_sums(images, sums, self._operation(trainer), targets).savefig(path, dpi=120)
            print_line(f"Picture: {path}")


def write_atomically(path: Path, text: str) -> None:
    """Write a whole file or none: into a neighbour first, which then takes its place."""
    neighbour = path.with_name(f".{path.name}.{os.getpid()}")
    neighbour.write_text(text, encoding="utf-8")
    os.replace(neighbour, path)
