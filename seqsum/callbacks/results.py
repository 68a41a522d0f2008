"""Report the results of a test: a printed table, and `results.json`."""

from __future__ import annotations

import json
import math
import platform
import time
from importlib.metadata import version
from itertools import zip_longest
from typing import Any

import numpy as np
import rich
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.table import Table

import seqsum
from seqsum.console import print_line
from seqsum.files import write_atomically
from seqsum.objectives import StepMean
from seqsum.run import data_of, module_of, run_folder, spaced

STEP_SECONDS = ("training_step", "training_step_of_processor")  # of the mean step, by the clock and of the processor


class TestReport(Callback):
    """Print a table of the metrics by step after a test, and write `results.json`.

    Its seconds are those of the training (`fit`, or `fit_after_resumption`, if it was interrupted), of the test, and of
    the mean training step since the start or the resumption: by the clock, and of the processor.

    Args:
        experiment: Name of the run.
        seed: The run's seed; None if it has none, and another run with the same settings differs.
        verbose: Whether to print the table.
    """

    __test__ = False  # tell pytest that this is not a test class

    def __init__(self, experiment: str, seed: int | None, verbose: bool = True) -> None:
        self.experiment = experiment
        self.seed = seed
        self.verbose = verbose
        self.started = 0.0
        self.seconds: dict[str, float] = {}
        self.resumed = False
        self.steps = 0
        self.in_steps = np.zeros(2)  # seconds by the clock, and of this process's threads, spent in training steps
        self.step_started = np.zeros(2)
        self.by_step: dict[str, list[float]] = {}

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = time.perf_counter()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.resumed = trainer.global_step > 0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.step_started = clocks()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.steps += 1
        self.in_steps += clocks() - self.step_started

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        name = "fit_after_resumption" if self.resumed else "fit"
        self.seconds[name] = round(time.perf_counter() - self.started, 1)
        if self.steps:
            self.seconds |= dict(zip(STEP_SECONDS, (self.in_steps / self.steps).round(6).tolist(), strict=True))

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = time.perf_counter()

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        steps = {
            name: metric
            for name, metric in module_of(pl_module).test_metrics.items(keep_base=True)
            if isinstance(metric, StepMean)
        }
        self.by_step = {name: metric.by_step().tolist() for name, metric in steps.items()}

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero or trainer.barebones:  # barebones logs no metrics
            return
        self.seconds["test"] = round(time.perf_counter() - self.started, 1)
        results = self._results(trainer, pl_module)
        if self.verbose:
            print_table(results)
        if folder := run_folder(trainer):
            write_atomically(folder / "results.json", json.dumps(_finite(results), indent=2, allow_nan=False) + "\n")

    def _results(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        metrics = {name: value.item() for name, value in trainer.callback_metrics.items() if name.startswith("test/")}
        return {
            "experiment": self.experiment,
            "dataset": data_of(trainer).dataset,
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


def clocks() -> np.ndarray:
    """Read the clock and the processor seconds of all threads, of which a busy machine takes hardly more."""
    return np.array([time.perf_counter(), time.process_time()])


def _finite(value: Any) -> Any:
    """Replace numbers that JSON lacks by null: those of steps at which nothing was scored, and of a diverged loss."""
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_table(results: dict[str, Any]) -> None:
    """Print a test's metrics by step, if there are several, and over all; and below them those that have no steps.

    Args:
        results: Content of `results.json`; NaN for a step at which nothing was scored.
    """
    title = f"Test of {results['experiment']} on {results['dataset']}"
    others = {name for name in results["test"] if name.removeprefix("test/") not in (*results["test_by_step"], "loss")}
    caption = " · ".join(f"{name} {results['test'][name]:.4f}" for name in sorted(others))
    if not results["test_by_step"]:
        print_line(f"{title}: {caption or 'loss {:.4f}'.format(results['test']['test/loss'])}")
        return
    print_line(title)  # as the table's title it would be wrapped to the width of the table
    table = Table(caption=caption or None)
    table.add_column("step", justify="right")
    for name in results["test_by_step"]:
        table.add_column(name, justify="right")
    # a metric may be of fewer steps than another, such as one number for each sequence
    steps = list(enumerate(zip_longest(*results["test_by_step"].values(), fillvalue=math.nan), start=1))
    for step, values in spaced(steps) if len(steps) > 1 else ():  # results.json has all steps
        table.add_row(str(step), *("–" if math.isnan(value) else f"{value:.4f}" for value in values))
    table.add_section()
    table.add_row("all", *(f"{results['test'][f'test/{name}']:.4f}" for name in results["test_by_step"]), style="bold")
    rich.get_console().print(table)
