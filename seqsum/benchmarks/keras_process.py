"""Runs Keras in a process of its own, and converts torch's weights to Keras's layout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from seqsum.benchmarks.same_numbers import Numbers
from seqsum.data.digits import Digits

SCRIPT = Path(__file__).with_name("keras_rival.py")
ENVIRONMENT = {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"}
Process = TypeVar("Process", bound="KerasProcess")


def reason_against(device: torch.device, precision: str) -> str | None:
    """Say why Keras does not take part; None if it does."""
    if find_spec("tensorflow") is None or find_spec("keras") is None:
        return "TensorFlow is not installed (pip install -e '.[rivals]')"
    if device.type != "cpu" or precision != "32-true":
        return f"it is compared on the CPU in 32-true alone, not on {device.type} in {precision}"
    return None


class KerasProcess:
    """Keras in a process of its own: in one process, threads of TensorFlow and torch would compete for the cores.

    Between requests it waits for its standard input, which takes no processor time.

    Args:
        script: Script that the process runs, such as `keras_rival.py`.
        files: Arrays for it by name, for each of the `.npz` files that it reads.
        options: Its further arguments.
    """

    def __init__(self, script: Path, files: Mapping[str, Mapping[str, Tensor]], options: Sequence[str]) -> None:
        self._folder = TemporaryDirectory(prefix="seqsum-keras-")
        folder = Path(self._folder.name)
        for name, tensors in files.items():
            arrays: dict[str, Any] = {key: tensor.detach().cpu().numpy() for key, tensor in tensors.items()}
            np.savez(folder / f"{name}.npz", **arrays)
        self.errors = folder / "errors.txt"
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, str(script), str(folder), *options, f"--threads={torch.get_num_threads()}"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, **ENVIRONMENT},
            )

    def __enter__(self: Process) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        """Kill the process, which has nothing to save; merely closing its input may fail if forked workers hold it."""
        self.process.kill()
        self.process.communicate()
        self._folder.cleanup()

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and return the answer.

        Raises:
            RuntimeError: The process has ended; the message is what it said.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with suppress(BrokenPipeError):  # the process has ended; the missing answer is handled below
            print(json.dumps(request), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            said = self.errors.read_text()[-2000:]
            raise RuntimeError(f"Keras's process ended with exit status {self.process.wait()}:\n{said}")
        return json.loads(answer)

    def ask_for_numbers(self, **request: Any) -> Numbers:
        """Ask for loss, predictions and gradients, in Keras's layout, of one batch, without training on it."""
        with np.load(self.ask(do="numbers", **request)["file"]) as file:
            loss, predictions, *gradients = (torch.from_numpy(array) for array in file.values())
        return Numbers(loss, predictions, gradients)


class KerasRival(KerasProcess):
    """The main job in Keras.

    Args:
        network: Network with torch.nn's LSTM, whose weights Keras starts from.
        digits: Digits to train on.
        sequence_length: Steps, `T`.
        script: Script that the process runs.
    """

    def __init__(self, network: nn.Module, digits: Digits, sequence_length: int, script: Path = SCRIPT) -> None:
        weights = keras_layout(network, list(network.parameters()))
        files = {"digits": digits._asdict(), "weights": in_order(weights)}
        super().__init__(script, files, [f"--sequence-length={sequence_length}"])

    def numbers(self, rows: Tensor) -> Numbers:
        """Compute loss, predictions and gradients, in Keras's layout, for the digits at `(B, T)`, without training."""
        return self.ask_for_numbers(rows=rows.tolist())

    def train(self, rows: Tensor) -> tuple[float, list[float]]:
        """Train on index tables `(N, B, T)`; return the seconds of all steps but the first, and each step's loss."""
        answer = self.ask(do="train", rows=rows.tolist())
        return answer["seconds"], answer["losses"]


def in_order(tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    """Name tensors by their order, for a file from which they are read in that order."""
    return {f"arr_{index}": tensor for index, tensor in enumerate(tensors)}


def keras_layout(network: nn.Module, values: Sequence[Tensor]) -> list[Tensor]:
    """Convert weights, or their gradients, to the order and layout of Keras's `trainable_variables`.

    Keras transposes weight matrices, has channels last, also when it flattens, and a single bias in the LSTM.
    torch's second bias, which starts at zero and has the same gradient, is left out.

    Args:
        network: Convolutions, normalisations, linear layers and torch.nn's LSTM, in order.
        values: One tensor for each of `network.parameters()`.
    """
    of: dict[Tensor, Tensor] = dict(zip(network.parameters(), values, strict=True))
    arrays: list[Tensor] = []
    channels = 0  # input channels of the next layer
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            arrays += [of[module.weight].permute(2, 3, 1, 0)]  # (C', C, Y, X) -> (Y, X, C, C')
            channels = module.out_channels
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            arrays += [of[module.weight], of[module.bias]]
        elif isinstance(module, nn.Linear):
            pixels_last = of[module.weight].unflatten(1, (channels, -1))  # (F, C, Y·X)
            arrays += [pixels_last.permute(2, 1, 0).flatten(0, 1), of[module.bias]]  # (Y·X·C, F)
            channels = module.out_features
        elif isinstance(module, nn.LSTM):
            kernel, recurrent_kernel, bias, _ = (of[weight] for weight in module.parameters())
            arrays += [kernel.t(), recurrent_kernel.t(), bias]
            channels = module.hidden_size
    return arrays
