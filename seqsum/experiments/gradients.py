"""Measure how gradients vanish and explode in backpropagation through time, and the effect of clipping."""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import rich
import torch
from torch import Tensor, nn

from seqsum import LSTMCell, RecurrentCell, RNNCell
from seqsum.experiments import gradient_check
from seqsum.experiments.files import CPU, save
from seqsum.figures.gradients import plot_gradients
from seqsum.options import a_seed, above, at_least
from seqsum.tables import show, write

LENGTHS = (2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200)
SHOWN_DISTANCES = (0, 10, 25, 50)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this experiment."""
    parser.add_argument("--length", action=at_least(2), default=50, help="steps of the longest sequence")
    parser.add_argument("--hidden-size", action=at_least(1), default=64)
    parser.add_argument("--batch-size", action=at_least(1), default=32, help="sequences of random inputs")
    parser.add_argument(
        "--networks", action=at_least(1), default=5, help="random networks of each kind, to average over"
    )
    parser.add_argument(
        "--threshold", action=above(0), default=5.0, help="global norm above which gradients are clipped"
    )
    parser.add_argument("--seed", action=a_seed(), default=0)


def run(options: argparse.Namespace) -> None:
    """Check the backward pass by hand, measure all cells, print a table, and write figure and numbers."""
    for name, difference in gradient_check.compare(torch.Generator().manual_seed(options.seed)).items():
        rich.print(f"backward by hand against {name}: largest difference {difference:.1e}")
    curves = {name: {kind: measure(make, options) for kind, make in makes.items()} for name, makes in CELLS.items()}
    show("mean absolute gradient of the state at a distance, and of W_hh", table(curves, options.threshold))
    write(options.output / "gradients.json", CPU, options, flat(curves))
    save(plot_gradients(curves, options.threshold), options.output / "gradients.png")


class Curve(NamedTuple):
    """Mean absolute gradients of one kind of network.

    Attributes:
        by_distance: Gradient of the state 0, 1, … steps before the last, in the longest sequence.
        by_distance_clipped: The same, scaled by the clipping factor.
        lengths: Sequence lengths of the next two.
        by_length: Gradient of the recurrent weights.
        by_length_clipped: The same after clipping.
    """

    by_distance: list[float]
    by_distance_clipped: list[float]
    lengths: list[int]
    by_length: list[float]
    by_length_clipped: list[float]


def measure(make: Callable[[int, int], RecurrentCell], options: argparse.Namespace) -> Curve:
    """Measure the gradients of one kind of network by distance in time and by sequence length."""
    # from 2 on: in the first step the state is zero, and W_hh has no gradient
    lengths = [length for length in LENGTHS if length < options.length] + [options.length]
    found = []
    for network in range(options.networks):
        torch.manual_seed(options.seed + network)
        cell = make(options.hidden_size, options.hidden_size).double()
        inputs = torch.randn(options.length, options.batch_size, options.hidden_size, dtype=torch.float64)
        readout = torch.randn(options.hidden_size, dtype=torch.float64) / math.sqrt(options.hidden_size)
        found.append([gradients(cell, inputs[-length:], readout, options.threshold) for length in lengths])
    longest = [run[-1] for run in found]
    return Curve(
        means([run.by_distance for run in longest]),
        means([run.by_distance_clipped for run in longest]),
        lengths,
        means([[at_length.of_weight for at_length in run] for run in found]),
        means([[at_length.of_weight_clipped for at_length in run] for run in found]),
    )


def means(rows: list[list[float]]) -> list[float]:
    """Mean of each column."""
    return [statistics.fmean(column) for column in zip(*rows, strict=True)]


class Gradients(NamedTuple):
    """Mean absolute gradients of one network at one sequence length.

    Attributes:
        by_distance: Gradient of each sequence's loss with respect to the state 0, 1, … steps before the last.
        by_distance_clipped: The same after clipping.
        of_weight: Gradient of the batch's loss with respect to the recurrent weights.
        of_weight_clipped: The same after clipping.
    """

    by_distance: list[float]
    by_distance_clipped: list[float]
    of_weight: float
    of_weight_clipped: float


def gradients(cell: RecurrentCell, inputs: Tensor, readout: Tensor, threshold: float) -> Gradients:
    """Compute the mean absolute gradients of one network, with a loss of the last output alone.

    Args:
        cell: The recurrent cell.
        inputs: `(T, B, F)`.
        readout: `(H,)`; a sequence's loss is its last output times this, the batch's loss their mean.
        threshold: Global norm above which gradients are clipped.
    """
    cell.zero_grad()
    state, states = cell.initial_state(inputs.shape[1], inputs), []
    for projected in cell.project(inputs):
        output, state = cell.step(projected, state)
        state[-1].retain_grad()  # the hidden state; in an LSTM the cell state, which carries gradients through time
        states.append(state[-1])
    (output @ readout).mean().backward()
    weight = cell.get_parameter("weight_hh")
    by_distance = [inputs.shape[1] * _mean_absolute_gradient(state) for state in reversed(states)]
    before = _mean_absolute_gradient(weight)
    norm = float(nn.utils.clip_grad_norm_(cell.parameters(), threshold))
    factor = threshold / norm if norm > threshold else 1.0
    clipped = [factor * value for value in by_distance]
    return Gradients(by_distance, clipped, before, _mean_absolute_gradient(weight))


def _mean_absolute_gradient(tensor: Tensor) -> float:
    assert tensor.grad is not None  # after `backward`
    return float(tensor.grad.abs().mean())


def rnn(nonlinearity: Any, start: Callable[[Tensor], Any], input_size: int, hidden_size: int) -> RNNCell:
    """Make a simple recurrent cell whose recurrent weights are initialised by `start`."""
    cell = RNNCell(input_size, hidden_size, nonlinearity=nonlinearity)
    start(cell.weight_hh)
    return cell


def lstm(forget_bias: float, input_size: int, hidden_size: int) -> LSTMCell:
    """Make an LSTM cell whose forget gate has the given bias."""
    cell = LSTMCell(input_size, hidden_size)
    nn.init.constant_(cell.get_parameter("bias_ih")[hidden_size : 2 * hidden_size], forget_bias)
    return cell


def _small(weight: Tensor) -> None:
    nn.init.uniform_(weight, -1 / math.sqrt(len(weight)), 1 / math.sqrt(len(weight)))  # as in torch.nn.RNN


def _large(weight: Tensor) -> None:
    nn.init.normal_(weight, std=2 / math.sqrt(len(weight)))


STARTS: dict[str, Callable[[Tensor], Any]] = {
    "random, small": _small,
    "random, large": _large,
    "orthogonal": nn.init.orthogonal_,
    "identity": nn.init.eye_,
}
CELLS: dict[str, dict[str, Callable[[int, int], RecurrentCell]]] = {
    **{
        f"RNN, {name}": {kind: partial(rnn, nonlinearity, start) for kind, start in STARTS.items()}
        for name, nonlinearity in (("ReLU", "relu"), ("tanh", "tanh"))
    },
    "LSTM": {f"forget bias {bias}": partial(lstm, bias) for bias in (0, 1, 3)},
}


def flat(curves: dict[str, dict[str, Curve]]) -> list[dict[str, Any]]:
    """Flatten the curves to one entry for each kind of network."""
    return [
        {"cell": cell, "start": start, **curve._asdict()}
        for cell, kinds in curves.items()
        for start, curve in kinds.items()
    ]


def table(curves: dict[str, dict[str, Curve]], threshold: float) -> list[dict[str, Any]]:
    """Make the table's rows, one for each kind of network."""
    rows = []
    for cell, kinds in curves.items():
        for start, curve in kinds.items():
            last = len(curve.by_distance) - 1
            distances = sorted({min(distance, last) for distance in SHOWN_DISTANCES})
            rows.append(
                {"cell": cell, "start": start}
                | {f"{distance} steps back": curve.by_distance[distance] for distance in distances}
                | {f"W_hh, T = {curve.lengths[k]}": curve.by_length[k] for k in (0, -1)}
                | {f"T = {curve.lengths[-1]}, clipped at {threshold:g}": curve.by_length_clipped[-1]}
            )
    return rows
