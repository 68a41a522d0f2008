"""How fast a cell is beside torch.nn's layer, by which backend, and why not by a faster one."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from seqsum.check.registry import check
from seqsum.check.subject import Subject
from seqsum.recurrent import Recurrent, RecurrentCell
from seqsum.recurrent.kernels import native_obstacle

FEATURES, HIDDEN, BATCH, STEPS = 32, 64, 32, 50
ROUNDS = 7
LAYERS: dict[str, Callable[[int, int], nn.Module]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


@check("its speed", needs=("step_returns", "same_in_a_loop"))
def fast(subject: Subject) -> str:
    """Forward and backward take so long, beside torch.nn's layer."""
    cell = subject.resize(FEATURES, HIDDEN).train()
    rival = LAYERS[subject.like or ("lstm" if len(cell.state_size) == 2 else "rnn")](cell.input_size, cell.hidden_size)
    layer = Recurrent(cell, backend="eager" if subject.wrapped else "auto")
    inputs = torch.randn(STEPS, BATCH, cell.input_size, generator=torch.Generator().manual_seed(3))
    constants = subject.caller_gives(BATCH, inputs.dtype)
    own, theirs = time_in_turn([lambda: _train(layer, inputs, constants=constants), lambda: _train(rival, inputs)])
    shown = f"{1000 * own:.1f} ms forwards and backwards by the backend `{layer.last_backend}`"
    sizes = f"{STEPS} steps of {BATCH} rows, {cell.hidden_size} units, one thread"
    speed = f"{theirs / own:.2f} times the speed of torch.nn.{type(rival).__name__}"
    return f"{shown}, {speed} ({sizes}); {why_not_faster(subject, cell, layer.last_backend or '')}"


def _train(layer: nn.Module, inputs: torch.Tensor, **options: Any) -> None:
    layer(inputs, **options)[0].sum().backward()


def time_in_turn(calls: list[Callable[[], Any]]) -> list[float]:
    """The median seconds of each call, after one to warm up; they take turns, so that a busy machine is so for all."""
    for call in calls:
        call()
    samples: list[list[float]] = [[] for _ in calls]
    for _ in range(ROUNDS):
        for call, seconds in zip(calls, samples, strict=True):
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
    return [statistics.median(seconds) for seconds in samples]


def why_not_faster(subject: Subject, cell: RecurrentCell, backend: str) -> str:
    """Why `auto` has picked no faster backend."""
    if subject.wrapped:
        return "as a RecurrentCell, with `project` and `step`, it could be compiled (`script`)"
    if backend == "native":
        return "nothing is faster on a CPU"
    obstacle = f"`native` can't run it: {native_obstacle(cell)}"
    if backend != "eager":
        return obstacle
    from seqsum.recurrent.backends import runner

    try:
        runner(cell, "script")
    except RuntimeError as error:
        return f"{obstacle}; {str(error).splitlines()[0]}"
    return obstacle
