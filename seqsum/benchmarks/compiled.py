"""A training step of encoders from a thousand to ten million parameters, as PyTorch runs it and by torch.compile."""

from __future__ import annotations

import argparse
import copy
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqsum.benchmarks.timing import Timing, row, time_in_turn
from seqsum.data.base import Batch, unlabelled
from seqsum.figures.compiled import plot_compiled
from seqsum.files import replacing
from seqsum.networks import ConvEncoder, StepNetwork
from seqsum.options import at_least

EAGER, COMPILED = "eager", "compiled"
CHANNELS = [(2, 4), (4, 8, 16), (8, 16, 32), (16, 32, 64), (32, 64, 128), (64, 128, 256), (160, 320, 640)]
ALL = range(1, len(CHANNELS) + 1)
TOLERANCE = 1e-3  # of the first loss, relative


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--batch-size", action=at_least(1), default=64, help="images in a step")
    parser.add_argument("--sizes", type=int, choices=ALL, default=ALL[-1], help="encoders to time, the smallest first")


def run(arguments: argparse.Namespace, device: torch.device) -> list[dict[str, Any]]:
    """Time each encoder in both ways, and its compilation; write a figure beside the table."""
    rows = []
    for channels in CHANNELS[: arguments.sizes]:
        rows += measure(channels, arguments, device)
    path = (arguments.output or Path("logs/benchmarks/compiled.json")).with_suffix(".png")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        plot_compiled(rows).savefig(file)
    return rows


def measure(channels: tuple[int, ...], arguments: argparse.Namespace, device: torch.device) -> list[dict[str, Any]]:
    """Time the steps of one encoder; the last two columns say how long compiling took and after how many steps it pays.

    Raises:
        AssertionError: The compiled network's first loss is another.
    """
    torch.manual_seed(0)
    network = StepNetwork(10, ConvEncoder(channels, output_size=2 * channels[-1], activation="relu")).to(device)
    batch = unlabelled(torch.randn(arguments.batch_size, 1, 1, 28, 28, device=device))
    labels = torch.randint(10, (arguments.batch_size,), device=device)
    torch.compiler.reset()
    twin = copy.deepcopy(network)
    steps = {EAGER: step(network, network, batch, labels), COMPILED: step(twin, torch.compile(twin), batch, labels)}
    losses, seconds = {}, {}
    with without_cache():
        for name, call in steps.items():
            start = time.perf_counter()
            losses[name] = float(call())
            seconds[name] = time.perf_counter() - start
    if abs(losses[COMPILED] - losses[EAGER]) > TOLERANCE * losses[EAGER]:
        raise AssertionError(f"compiled, the loss is {losses[COMPILED]:.6g} instead of {losses[EAGER]:.6g}")
    timings = time_in_turn(steps, EAGER, arguments.rounds, arguments.warm_up, device)
    parameters = sum(weight.numel() for weight in network.parameters())
    compiling = seconds[COMPILED] - timings[COMPILED].median
    return [
        {"parameters": parameters, "what": name, **row(timing)}
        | {"to compile, s": round(compiling, 1) if name == COMPILED else 0.0}
        | {"pays after, steps": pays_after(compiling, timing)}
        for name, timing in timings.items()
    ]


def pays_after(compiling: float, timing: Timing) -> str:
    """After how many steps the seconds of compiling are saved: never, unless most steps are faster than the rival's."""
    if timing.lower_speed <= 1:  # which the rival's own are not
        return "–"
    return str(round(compiling / (timing.median * (timing.speed - 1))))


@contextmanager
def without_cache() -> Iterator[None]:
    """Let torch.compile use an empty folder as its cache, so that it compiles everything."""
    name = "TORCHINDUCTOR_CACHE_DIR"
    before = os.environ.get(name)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[name] = folder
        try:
            yield
        finally:
            os.environ.pop(name)
            if before is not None:
                os.environ[name] = before


def step(network: nn.Module, forward: Callable[[Batch], Tensor], batch: Batch, labels: Tensor) -> Callable[[], Tensor]:
    """Make a training step that returns its loss."""
    optimizer = torch.optim.AdamW(network.parameters())

    def call() -> Tensor:
        loss = F.cross_entropy(forward(batch).squeeze(1), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return call
