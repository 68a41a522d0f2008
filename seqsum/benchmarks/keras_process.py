"""The process in which `keras_rival.py` runs, and torch's weights as Keras lays them out."""

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
    """Why Keras does not take part, or None."""
    if find_spec("tensorflow") is None or find_spec("keras") is None:
        return "TensorFlow is not installed (pip install -e '.[rivals]')"
    if device.type != "cpu" or precision != "32-true":
        return f"it is compared on the CPU in 32-true alone, not on {device.type} in {precision}"
    return None


class KerasRival:
    """Keras, in a process of its own: in one, TensorFlow's threads and torch's would fight for the cores.

    Until it is asked for something it waits for its standard input, which takes no processor time.

    Args:
        network: Whose weights it starts from, with torch.nn's LSTM.
        digits: What it trains on.
        sequence_length: Steps, `T`.
        script: What the process runs.
    """

    def __init__(self, network: nn.Module, digits: Digits, sequence_length: int, script: Path = SCRIPT) -> None:
        self._folder = TemporaryDirectory(prefix="seqsum-keras-")
        folder = Path(self._folder.name)
        np.savez(folder / "digits.npz", images=digits.images.cpu().numpy(), labels=digits.labels.cpu().numpy())
        weights = keras_layout(network, [weight.detach().cpu() for weight in network.parameters()])
        np.savez(folder / "weights.npz", *(weight.numpy() for weight in weights))
        self._errors = folder / "errors.txt"
        options = [f"--sequence-length={sequence_length}", f"--threads={torch.get_num_threads()}"]
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
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
        """Kill the process: it has nothing to save, and forked workers may hold its input open."""
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()

    def numbers(self, rows: Tensor) -> Numbers:
        """What the weights it has now give for the digits at `(B, T)`; gradients in Keras's layout."""
        with np.load(self._ask(do="numbers", rows=rows.tolist())["file"]) as file:
            loss, predictions, *gradients = (torch.from_numpy(array) for array in file.values())
        return Numbers(loss, predictions, gradients)

    def train(self, rows: Tensor) -> tuple[float, list[float]]:
        """Steps on the index tables `(N, B, T)`: the seconds of all but the first, and the loss of each."""
        answer = self._ask(do="train", rows=rows.tolist())
        return answer["seconds"], answer["losses"]

    def _ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # it has ended, and there will be no answer
            print(json.dumps(request), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            said = self._errors.read_text()[-2000:]
            raise RuntimeError(f"Keras's process ended with exit status {self._process.wait()}:\n{said}")
        return json.loads(answer)


def keras_layout(network: nn.Module, values: Sequence[Tensor]) -> list[Tensor]:
    """Weights, or their gradients, in the order and the layout of Keras's `trainable_variables`.

    Keras multiplies from the other side, has the channels last, also in what it flattens, and a single
    bias in the LSTM: torch's second one, zero at the start and with the same gradient, is left out.

    Args:
        network: Convolutions, normalisations, linear layers and torch.nn's LSTM, in order.
        values: One for each of `network.parameters()`.
    """
    of: dict[Tensor, Tensor] = dict(zip(network.parameters(), values, strict=True))
    arrays: list[Tensor] = []
    channels = 0  # of what the next layer reads
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
