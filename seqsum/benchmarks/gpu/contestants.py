"""The contestants: layers of torch.nn and backends of seqsum in several precisions, with the same weights and inputs.

Weights and inputs are drawn in bfloat16, which every precision represents exactly, so contestants differ only by
their rounding. The oracle is torch.nn in float64.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from seqsum.benchmarks.precision import Precision, float32_products
from seqsum.benchmarks.recurrent import CELLS, TOLERANCE, Call, Shape, difference, masked, packed, timed_call
from seqsum.benchmarks.timing import Timing, seconds_of, take_turns
from seqsum.recurrent.cells import RecurrentCell
from seqsum.recurrent.kernels import triton_obstacle

Mode = Literal["forward", "both"]
Lengths = Literal["full", "sorted", "unsorted"]
MODES: tuple[Mode, ...] = ("forward", "both")
TORCH = "torch.nn"
PRECISIONS = ("float32", "tf32", "float16", "bfloat16")


class Case(NamedTuple):
    """What to compute: a cell, sizes, and lengths, all `T` (`full`) or from 1 to `T` (`sorted` or `unsorted`)."""

    cell: str
    shape: Shape
    lengths: Lengths = "full"

    def __str__(self) -> str:
        lengths = "" if self.lengths == "full" else f", lengths {self.lengths}"
        return f"{self.cell} {tuple(self.shape)}{lengths}"


class Contestant(NamedTuple):
    """Who computes it, `torch.nn` (cuDNN on a GPU) or a backend of seqsum, and in which precision."""

    what: str
    precision: str

    @property
    def products(self) -> Precision:
        """How float32 is multiplied; other types don't care."""
        return "tf32" if self.precision == "tf32" else "ieee"

    def __str__(self) -> str:
        return f"{self.what}, {self.precision}"


def can_run(contestant: Contestant, cell: str, device: torch.device) -> bool:
    """Whether a contestant can run a cell on a device: a CPU has no TF32, and Triton does not run everywhere."""
    if contestant.precision == "tf32" and device.type != "cuda":
        return False
    if contestant.what != "triton":
        return True
    layer = CELLS[cell][1](1, 1, device="meta", dtype=dtype_of(contestant.precision)).to_empty(device=device)
    return triton_obstacle(cast(RecurrentCell, layer.cells[0])) is None


def dtype_of(precision: str) -> torch.dtype:
    """Return the type of weights and inputs; TF32 is a way to multiply float32."""
    return torch.float32 if precision == "tf32" else getattr(torch, precision)


class Arena:
    """A case on a device: the weights and inputs of all contestants, and the exact results.

    Args:
        case: What to compute.
        device: Device to compute on.
    """

    def __init__(self, case: Case, device: torch.device) -> None:
        self.case, self.device = case, device
        shape, generator = case.shape, torch.Generator().manual_seed(0)
        torch.manual_seed(0)
        self.module = _rounded(CELLS[case.cell][0](shape.features, shape.hidden))
        self.inputs = _draw(shape.steps, shape.batch, shape.features, generator=generator).to(device)
        self.weight = _draw(shape.steps, shape.batch, shape.hidden, generator=generator).to(device)
        lengths = torch.randint(1, shape.steps + 1, (shape.batch,), generator=generator)
        in_order = lengths.sort(descending=True).values
        self.lengths = {"full": None, "sorted": in_order, "unsorted": lengths}[case.lengths]
        self.layers: dict[tuple[str, torch.dtype], nn.Module] = {}

    def call(self, contestant: Contestant, mode: Mode) -> Call:
        """Make the call to time, which returns outputs and final states, or in mode `both` outputs and gradients."""
        return self._call(contestant.what, dtype_of(contestant.precision), mode)

    def exact(self, mode: Mode) -> list[Tensor]:
        """Compute the exact results in float64."""
        return self._call(TORCH, torch.float64, mode)()

    def _call(self, what: str, dtype: torch.dtype, mode: Mode) -> Call:
        layer, inputs = self._layer(what, dtype), self.inputs.to(dtype)
        function = masked(layer, self.lengths, inputs)
        if what == TORCH and self.lengths is not None:
            function = packed(layer, self.lengths, in_order=self.case.lengths == "sorted")
        return timed_call(layer, function, inputs, mode, self.weight.to(dtype))

    def _layer(self, what: str, dtype: torch.dtype) -> nn.Module:
        """Make a layer, or reuse it: both modes share one, and so do float32 and TF32."""
        if (what, dtype) not in self.layers:
            shape, (torch_class, hand_written) = self.case.shape, CELLS[self.case.cell]
            options: dict[str, Any] = {} if what == TORCH else {"backend": what}
            made = torch_class if what == TORCH else hand_written
            layer = made(shape.features, shape.hidden, **options, device="meta").to_empty(device="cpu")
            layer.load_state_dict(self.module.state_dict())
            self.layers[what, dtype] = layer.to(self.device, dtype)  # also arranges the weights for cuDNN
        return self.layers[what, dtype]


def _draw(*sizes: int, generator: torch.Generator) -> Tensor:
    return torch.randn(sizes, generator=generator).bfloat16().float()


def _rounded(module: nn.RNNBase) -> nn.RNNBase:
    for parameter in module.parameters():
        parameter.data = parameter.data.bfloat16().float()
    return module


def run(contestant: Contestant, call: Call) -> list[Tensor]:
    """Call once, with float32 products in the contestant's precision."""
    with float32_products(contestant.products):
        return call()


def error_of(contestant: Contestant, call: Call, exact: Iterable[Tensor]) -> tuple[float, bool]:
    """Return the largest `difference` from the exact results, and whether the precision's tolerance allows it."""
    results = zip(run(contestant, call), exact, strict=True)
    found = [difference(ours.to(theirs), theirs) for ours, theirs in results]
    error = max(found) if all(value == value for value in found) else float("nan")
    return error, error <= TOLERANCE[contestant.precision]


def time_calls(
    calls: Mapping[Contestant, Call], device: torch.device, rounds: int, warm_up: int, seconds: float
) -> dict[Contestant, Timing]:
    """Time all contestants in turn, for as many rounds as fit into `seconds`: at least three, at most `rounds`."""
    timers = {str(contestant): partial(_time, contestant, call, device) for contestant, call in calls.items()}
    for timer in timers.values():
        for _ in range(warm_up):
            timer()
    one_round = sum(timer() for timer in timers.values())
    fitting = max(min(3, rounds), min(rounds, int(seconds / one_round)))
    timings = take_turns(timers, next(iter(timers)), fitting)
    return {contestant: timings[str(contestant)] for contestant in calls}


def _time(contestant: Contestant, call: Call, device: torch.device) -> float:
    with float32_products(contestant.products):
        return seconds_of(call, device)
