"""Speed of the whole training on several devices: `train.py`, distributed by Lightning's DDP."""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from seqsum.benchmarks.timing import take_turns
from seqsum.options import at_least

SCRIPT = Path(__file__).parents[2] / "train.py"
COLUMN = "train/images_per_second"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this part of the benchmark."""
    parser.add_argument("--devices", nargs="+", action=at_least(1), help="default: 1, 2, 4, …, as many as there are")
    parser.add_argument(
        "--launches", action=at_least(0), default=3, help="trainings on each number of devices; 0: none"
    )
    parser.add_argument("--batches", action=at_least(1), default=20, help="batches per epoch on each device")
    parser.add_argument("--batch-size", action=at_least(1), default=128, help="sequences on each device")
    parser.add_argument("--root", default="data", help="where MNIST is; otherwise rendered digits")


def run(arguments: argparse.Namespace, device: torch.device) -> list[dict[str, Any]]:
    """Measure a row for each number of devices, with the same batch size on each device.

    The launches take turns. Their speed is that of the second of two epochs, so start and warm-up are not
    counted. Efficiency is the speed per device relative to that of a single device in the same turn, as a median.
    """
    counts = sorted({1, *(arguments.devices or default_counts(device))})
    launches = {str(n): partial(seconds_an_image, n, arguments, device) for n in counts}
    timings = take_turns(launches, "1", arguments.launches) if arguments.launches else {}
    return [
        {
            "axis": "devices",
            "size": n,
            "images/s": round(1 / timings[str(n)].median),
            "images/s a device": round(1 / timings[str(n)].median / n),
            "efficiency": round(timings[str(n)].speed / n, 2),
        }
        for n in counts
        if timings
    ]


def default_counts(device: torch.device) -> list[int]:
    """Return 1, 2, 4, … up to all GPUs; on the CPU up to all cores, one thread each, but at least up to 2."""
    most = torch.cuda.device_count() if device.type == "cuda" else max(2, os.cpu_count() or 1)
    return [*(2**k for k in range(most.bit_length()) if 2**k < most), most]


def seconds_an_image(n: int, arguments: argparse.Namespace, device: torch.device) -> float:
    """Train on `n` devices in processes of their own; return the seconds for each image."""
    with TemporaryDirectory(prefix="seqsum-devices-") as folder:
        command = [
            *(sys.executable, str(SCRIPT), "fit"),
            f"--trainer.accelerator={'gpu' if device.type == 'cuda' else 'cpu'}",
            *(f"--trainer.devices={n}", "--trainer.strategy=ddp", f"--trainer.default_root_dir={folder}"),
            *("--trainer.max_epochs=2", f"--trainer.limit_train_batches={arguments.batches}"),
            *("--trainer.limit_val_batches=1", "--trainer.enable_progress_bar=false"),
            *("--tensorboard.figures_every_n_epochs=0", "--tensorboard.histograms_every_n_epochs=0"),
            *(f"--data.batch_size={arguments.batch_size}", "--data.sequence_length=4"),  # by default lengths change
            f"--data.root={Path(arguments.root).resolve()}",
        ]
        one_thread = {} if device.type == "cuda" else {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, check=False, env=os.environ | one_thread, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"the training on {n} devices failed:\n{done.stderr}")
        (metrics,) = Path(folder).glob("*/version_0/metrics.csv")
        return 1 / images_a_second(metrics)


def images_a_second(metrics: Path) -> float:
    """Read the speed of all devices together in the last of several epochs."""
    with metrics.open(newline="") as file:
        speeds = [float(line[COLUMN]) for line in csv.DictReader(file) if line[COLUMN]]
    if len(speeds) < 2:
        raise ValueError(f"{metrics} has the speeds of {len(speeds)} epochs, and the first one is warm-up")
    return speeds[-1]
