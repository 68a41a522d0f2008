"""Runs `keras_rival.py` in a process of its own, and converts torch's weights to Keras's layout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seqsum.benchmarks.same_numbers import Numbers
from seqsum.data.digits import Digits

SCRIPT = Path(__file__).with_name("keras_rival.py")
ENVIRONMENT = {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"}


def reason_against(device: torch.device, precision: str) -> str | None:
    """Say why Keras does not take part; None if it does."""
    if find_spec("tensorflow") is None or find_spec("keras") is None:
        return "TensorFlow is not installed (pip install -e '.[rivals]')"
    if device.type != "cpu" or precision != "32-true":
        return f"it is compared on the CPU in 32-true alone, not on {device.type} in {precision}"
    return None


class KerasRival:
    """Keras in a process of its own: in one process, threads of TensorFlow and torch would compete for the cores.

    Between requests it waits for its standard input, which takes no processor time.

    Args:
        network: Network with torch.nn's LSTM, whose weights Keras starts from.
        digits: Digits to train on.
        sequence_length: Steps, `T`.
        script: Script that the process runs.
    """

    def __init__(self, network: nn.Module, digits: Digits, sequence_length: int, script: Path = SCRIPT) -> None:
        self._folder = TemporaryDirectory(prefix="seqsum-keras-")
        folder = Path(self._folder.name)
        np.savez(folder / "digits.npz", images=digits.images.cpu().numpy(), labels=digits.labels.cpu().numpy())
        weights = keras_layout(network, [weight.detach().cpu() for weight in network.parameters()])
        np.savez(folder / "weights.npz", *(weight.numpy() for weight in weights))
        self.errors = folder / "errors.txt"
        options = [f"--sequence-length={sequence_length}", f"--threads={torch.get_num_threads()}"]
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, str(script), str(folder), *options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, **ENVIRONMENT},
            )

    def __enter__(self) -> KerasRival:
        return self

    def __exit__(self, *_: object) -> None:
        """Kill the process, which has nothing to save; merely closing its input may fail if forked workers hold it."""
        self.process.kill()
        self.process.communicate()
        self._folder.cleanup()

    def numbers(self, rows: Tensor) -> Numbers:
        """Compute loss, predictions and gradients, in Keras's layout, for the digits at `(B, T)`, without training."""
        with np.load(self._ask(do="numbers", rows=rows.tolist())["file"]) as file:
            loss, predictions, *gradients = (torch.from_numpy(array) for array in file.values())
        return Numbers(loss, predictions, gradients)

    def train(self, rows: Tensor) -> tuple[float, list[float]]:
        """Train on index tables `(N, B, T)`; return the seconds of all steps but the first, and each step's loss."""
        answer = self._ask(do="train", rows=rows.tolist())
        return answer["seconds"], answer["losses"]

    def _ask(self, **request: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with suppress(BrokenPipeError):  # the process has ended; the missing answer is handled below
            print(json.dumps(request), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            said = self.errors.read_text()[-2000:]
            raise RuntimeError(f"Keras's process ended with exit status {self.process.wait()}:\n{said}")
        return json.loads(answer)


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
