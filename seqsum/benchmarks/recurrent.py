"""Time and memory of every backend against torch.nn: forward, forward and backward, variable lengths."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seqsum.benchmarks.precision import Precision, float32_products
from seqsum.benchmarks.timing import peak_memory, row, time_in_turn
from seqsum.errors import InputError
from seqsum.recurrent import GRU, LSTM, RNN, RecurrentCell
from seqsum.recurrent.backends import Backend
from seqsum.recurrent.kernels import native_obstacle, triton_obstacle
from seqsum.recurrent.layers import TorchLike


class Shape(NamedTuple):
    """Batch size, steps, features, units."""

    batch: int
    steps: int
    features: int
    hidden: int


SHAPES = {
    "main": Shape(128, 4, 128, 128),  # the main experiment
    "rows": Shape(128, 28, 28, 128),  # MNIST, row by row
    "fastrnns": Shape(64, 100, 512, 512),  # pytorch/benchmarks/fastrnns
    "narrow": Shape(32, 200, 64, 128),  # long and narrow
    "one_step": Shape(16, 1, 512, 512),  # as a decoder calls it, step by step
    "call": Shape(1, 1, 16, 32),  # so little that it takes the time of a call alone
    "one_row": Shape(1, 50, 512, 512),
    "few_rows": Shape(4, 20, 64, 1024),
    "flashrnn": Shape(16, 1024, 768, 768),  # NX-AI/flashrnn; takes a GPU
}
LENGTHS_SHAPES = {
    "lengths_50": Shape(64, 50, 128, 128),
    "lengths_200": Shape(64, 200, 64, 64),
    "lengths_100": Shape(32, 100, 256, 256),
}
CELLS: dict[str, tuple[Callable[..., nn.RNNBase], Callable[..., TorchLike]]] = {
    "lstm": (nn.LSTM, LSTM),
    "gru": (nn.GRU, GRU),
    "rnn": (nn.RNN, RNN),
}
# relative to the largest entry, see `difference`; TF32 and float16 round to 11 bits, bfloat16 to 8
TOLERANCE = {"float64": 1e-9, "float32": 1e-4, "tf32": 5e-3, "float16": 1e-2, "bfloat16": 5e-2}
RIVAL = "torch.nn"
Call = Callable[[], list[Tensor]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=["lstm", "gru", "rnn"])
    parser.add_argument("--shapes", nargs="+", choices=[*SHAPES, *LENGTHS_SHAPES], help="default: those for the device")
    parser.add_argument(
        "--backends",
        nargs="+",
        choices=get_args(Backend),
        help="backends of seqsum's LSTM; default: those for cell and device",
    )
    parser.add_argument("--modes", nargs="+", choices=["forward", "both"], default=["forward", "both"])
    types = ["float32", "bfloat16", "float16", "float64"]
    parser.add_argument("--dtypes", nargs="+", choices=types, default=["float32"])
    precisions = get_args(Precision)
    parser.add_argument("--precision", choices=precisions, default="ieee", help="how a GPU multiplies float32")


def run(arguments: argparse.Namespace, device: torch.device) -> list[dict[str, Any]]:
    """Measure all combinations, a row for each contestant; its type is `tf32` for float32 in TensorFloat-32.

    Raises:
        InputError: TF32 was requested on a device that is not a GPU.
    """
    if arguments.precision == "tf32" and device.type != "cuda":
        raise InputError(f"`--precision` (='tf32') needs a CUDA device: {device} multiplies float32 in full")
    fitting = [name for name in (*SHAPES, *LENGTHS_SHAPES) if name != "flashrnn" or device.type == "cuda"]
    shapes = arguments.shapes or fitting
    combinations = itertools.product(arguments.dtypes, arguments.cells, shapes, arguments.modes)
    with float32_products(arguments.precision):
        return [row for given in combinations for row in compare(*given, arguments, device)]


def compare(
    type_name: str, cell: str, shape_name: str, mode: str, arguments: argparse.Namespace, device: torch.device
) -> list[dict[str, Any]]:
    """Measure a row for each contestant at one shape, after checking that all compute the same."""
    dtype = getattr(torch, type_name)
    numbers = "tf32" if type_name == "float32" and arguments.precision == "tf32" else type_name
    shape = {**SHAPES, **LENGTHS_SHAPES}[shape_name]
    backends = arguments.backends or default_backends(cell, dtype, device)
    calls = contestants(cell, shape, mode, dtype, backends, device, variable=shape_name in LENGTHS_SHAPES)
    check_same_numbers(calls, TOLERANCE[numbers])
    timings = time_in_turn(calls, RIVAL, arguments.rounds, arguments.warm_up, device)
    head = {"cell": cell, "B, T, F, H": ", ".join(map(str, shape)), "type": numbers}
    head["mode"] = "forward + backward" if mode == "both" else mode
    if shape_name in LENGTHS_SHAPES:
        head["mode"] += ", variable lengths"
    return [
        {**head, "what": name, **row(timing), "MB": peak_memory(calls[name], device) / 1e6}
        for name, timing in timings.items()
    ]


def default_backends(cell: str, dtype: torch.dtype, device: torch.device) -> list[str]:
    """List the backends to measure: all but `compile`; `native` on the CPU and `triton` on a GPU, if they run the cell.

    On a CPU, Triton runs in its interpreter, if at all, and is no rival.
    """
    made = cast(RecurrentCell, CELLS[cell][1](1, 1, device=device, dtype=dtype).cells[0])
    fused = {"triton": triton_obstacle} if device.type == "cuda" else {"native": native_obstacle}
    return ["eager", "script", "bptt", *(name for name, obstacle in fused.items() if obstacle(made) is None)]


def contestants(
    cell: str,
    shape: Shape,
    mode: str,
    dtype: torch.dtype,
    backends: list[str],
    device: torch.device,
    variable: bool = False,
) -> dict[str, Call]:
    """Make calls with the same weights and inputs, by name; each returns results, in mode `both` also gradients.

    With variable lengths, uniform in 1…T, torch.nn runs on packed sequences, seqsum with a mask.
    """
    torch.manual_seed(0)
    torch_class, hand_written = CELLS[cell]
    oracle = torch_class(shape.features, shape.hidden).to(device, dtype)
    inputs = torch.randn(shape.steps, shape.batch, shape.features, device=device, dtype=dtype)
    lengths = torch.randint(1, shape.steps + 1, (shape.batch,)) if variable else None
    calls = {RIVAL: timed_call(oracle, packed(oracle, lengths) if lengths is not None else oracle, inputs, mode)}
    if lengths is not None:
        calls["torch.nn, padded"] = timed_call(oracle, oracle, inputs, mode)
    for backend in backends:
        layer = hand_written(shape.features, shape.hidden, backend=backend).to(device, dtype)
        layer.load_state_dict(oracle.state_dict())
        calls[f"seqsum, {backend}"] = timed_call(layer, masked(layer, lengths, inputs), inputs, mode)
    return calls


def packed(layer: nn.Module, lengths: Tensor, in_order: bool = False) -> Callable[[Tensor], Any]:
    """Wrap a torch.nn layer to pack padded inputs `(T, B, F)`; `in_order` if the longest sequences come first."""

    def run(inputs: Tensor) -> Any:
        outputs, final = layer(pack_padded_sequence(inputs, lengths, enforce_sorted=in_order))
        return pad_packed_sequence(outputs, total_length=len(inputs))[0], final

    return run


def masked(layer: nn.Module, lengths: Tensor | None, inputs: Tensor) -> Callable[[Tensor], Any]:
    """Wrap a seqsum layer to run on padded inputs `(T, B, F)` with the mask of the lengths, if there are any."""
    if lengths is None:
        return layer
    mask = (torch.arange(len(inputs)).unsqueeze(1) < lengths).to(inputs.device)
    return lambda inputs: layer(inputs, mask=mask)


def timed_call(
    layer: Any, function: Callable[[Tensor], Any], inputs: Tensor, mode: str, weight: Tensor | None = None
) -> Call:
    """Make the call to time, which returns outputs and final states, or in mode `both` outputs and all gradients.

    Args:
        layer: Layer with the parameters to differentiate.
        function: Runs the layer on the inputs.
        inputs: `(T, B, F)`.
        mode: `forward`, without gradients, or `both`.
        weight: Gradient of the outputs, `(T, B, H)`; random by default.
    """

    def forward() -> list[Tensor]:
        with torch.no_grad():
            outputs, final = function(inputs)
        return [outputs, *(final if isinstance(final, tuple) else (final,))]

    def both() -> list[Tensor]:
        given = inputs.detach().requires_grad_()
        outputs, _ = function(given)
        gradients = torch.autograd.grad(outputs, [given, *layer.parameters()], weight)
        return [outputs.detach(), *gradients]

    if mode == "forward":
        return forward
    if weight is None:
        generator = torch.Generator().manual_seed(1)
        weight = torch.randn(*inputs.shape[:2], layer.hidden_size, generator=generator).to(inputs)
    return both


def difference(ours: Tensor, theirs: Tensor) -> float:
    """Compute the largest difference of two results, divided by the largest entry of the second, or by 1 if larger.

    The allowed error so grows with the size of the result: a weight's gradient sums products of all steps and
    sequences.
    """
    return (ours - theirs).abs().max().item() / theirs.abs().max().clamp(min=1).item()


def check_same_numbers(calls: dict[str, Call], tolerance: float) -> None:
    """Raise an AssertionError if a contestant's results differ from the rival's by more than the tolerance.

    "torch.nn, padded" is not checked: it shows the cost of ignoring the lengths and computes something else.
    """
    expected = calls[RIVAL]()
    for name, call in calls.items():
        if name == "torch.nn, padded":
            continue
        for ours, theirs in zip(call(), expected, strict=True):
            found = difference(ours, theirs)
            if not found <= tolerance:
                raise AssertionError(f"{name} differs from {RIVAL} by {found:.2g} of the largest entry")
