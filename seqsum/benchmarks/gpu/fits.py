"""Speed of whole trainings by the project's own command line, among them the default from start to end."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from warnings import catch_warnings, simplefilter

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from seqsum.benchmarks.gpu.budget import Deadline
from seqsum.benchmarks.gpu.results import Results
from seqsum.distributed import end_process_group
from seqsum.files import write_atomically
from seqsum.run import data_of

EPOCHS = 20  # of the default training
PRECISIONS = ("32", "bf16-mixed")
CLOCK = "epochs.json"
WITHOUT_GRAPHS = "without CUDA graphs"  # as every warning of it says
OPTIONS: list[str] = []  # further options of every training


def train_default(options: argparse.Namespace, device: torch.device, results: Results, deadline: Deadline) -> None:
    """Run `python train.py` from start to end in its own process, as a user does, for half of the time at most.

    Note it if its steps ran without graphs, which it only warns of.
    """

    def launch(arguments: list[str]) -> None:
        command = [sys.executable, "-c", "from seqsum.cli import main; main()", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=deadline.left() / 2, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        if without := [line for line in done.stderr.splitlines() if WITHOUT_GRAPHS in line]:
            results.fail("training: default, as CUDA graphs", without[0])

    _train("default", launch, [], EPOCHS, options, device, results)


def train_variants(options: argparse.Namespace, device: torch.device, results: Results, deadline: Deadline) -> None:
    """Train some epochs of each variant, in this process to save imports."""
    from seqsum.cli import main  # needs jsonargparse, which the other parts do without

    def run(arguments: list[str]) -> None:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()) as said, catch_warnings(record=True) as warned:
            simplefilter("always")
            try:
                main(arguments)
            except SystemExit as error:
                raise RuntimeError(said.getvalue()[-2000:]) from error
            finally:
                end_process_group()
        if without := [text for warning in warned if WITHOUT_GRAPHS in (text := str(warning.message))]:
            raise RuntimeError(without[0])

    for name, variant in variants(device).items():
        if deadline.passed():
            results.leave_out(f"training: {name}")
        else:
            # sequences of one length: by default it changes between epochs, and graphs are captured anew for each
            arguments = ["fit", "--data.sequence_length=4", *variant.options]
            _train(name, run, arguments, variant.epochs, options, device, results)


class Variant(NamedTuple):
    """A training: its options, and its epochs, of which the first is warm-up."""

    options: list[str]
    epochs: int = 4


def variants(device: torch.device) -> dict[str, Variant]:
    """Return all variants, on a GPU those with CUDA graphs first; the default training is one of these itself."""
    found = {}
    if device.type == "cuda":
        graphs = "--model.cuda_graph=true"
        found["as CUDA graphs, bf16-mixed"] = Variant(["--trainer.precision=bf16-mixed", graphs])
        # an epoch's last, short batch is captured in the fourth epoch
        found["as CUDA graphs, batch 1024"] = Variant(["--data.batch_size=1024", graphs], epochs=10)
        found["as CUDA graphs, DDP"] = Variant(["--trainer.strategy=ddp", graphs])
    for precision in PRECISIONS:
        options = [f"--trainer.precision={precision}", "--model.cuda_graph=false"]
        found[f"launch by launch, {precision}"] = Variant(options)
    return found


def _train(
    name: str,
    run: Callable[[list[str]], None],
    arguments: list[str],
    epochs: int,
    options: argparse.Namespace,
    device: torch.device,
    results: Results,
) -> None:
    """Train in a temporary folder; add a row of results, or note the error."""
    with TemporaryDirectory(prefix="seqsum-fit-") as folder:
        given = [
            *(*arguments, f"--trainer.max_epochs={epochs}", f"--trainer.callbacks={__name__}.EpochClock"),
            *(f"--trainer.accelerator={'gpu' if device.type == 'cuda' else 'cpu'}", "--trainer.devices=1"),
            *(f"--trainer.default_root_dir={folder}", f"--data.root={Path(options.data_root).resolve()}", *OPTIONS),
        ]
        start = time.perf_counter()
        with results.noting(f"training: {name}"):
            run(given)
            seconds = round(time.perf_counter() - start, 1)
            row = {"what": "training", "name": name, "epochs": epochs, "seconds in all": seconds}
            results.add({**row, **found(Path(folder))})
            print(f"training: {name}: done in {seconds} s", flush=True)


def found(folder: Path) -> dict[str, Any]:
    """Read a training's speed from its folder, and its test results if there are any."""
    epochs = json.loads((folder / CLOCK).read_text())
    speeds = [epoch["images"] / epoch["seconds"] for epoch in epochs[1:] or epochs]
    row: dict[str, Any] = {"images/s": round(median(speeds)), "dataset": epochs[0]["dataset"]}
    for path in folder.glob("*/version_0/results.json"):
        results = json.loads(path.read_text())
        row |= {"seconds of fit": results["seconds"]["fit"], **results["test"]}
    return row


class EpochClock(Callback):
    """Writes the images and seconds of each epoch, without validation, into the folder of all runs.

    It waits for the GPU only at both ends of an epoch, so that measuring does not slow the steps.
    """

    def __init__(self) -> None:
        self.epochs: list[dict[str, Any]] = []
        self.images = 0
        self.start = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.images, self.start = 0, _now(pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.images += batch.targets.numel()
        if trainer.is_last_batch:
            seconds = _now(pl_module) - self.start
            self.epochs.append({"images": self.images, "seconds": seconds, "dataset": data_of(trainer).dataset})

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        write_atomically(Path(trainer.default_root_dir) / CLOCK, json.dumps(self.epochs))


def _now(module: LightningModule) -> float:
    if module.device.type == "cuda":
        torch.cuda.synchronize(module.device)
    return time.perf_counter()
