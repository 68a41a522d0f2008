"""Launch a kernel: compile it on its first launch, and run it without Triton's search from then on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from seqsum.recurrent.kernels.triton import persistent
from seqsum.recurrent.kernels.triton.equations import NUM_GATES, NUM_KEPT
from seqsum.recurrent.kernels.triton.plan import Plan

INTERPRETED = not isinstance(persistent.forward, triton.JITFunction)
BLOCK = 256  # numbers per program of the kernels in `stepped.py`
compiled: dict[tuple[Any, ...], tuple[Any, list[Any]]] = {}  # kernel and its constants by `Launch.key`


class Call(NamedTuple):
    """Arguments of a kernel other than tensors.

    Attributes:
        name: "lstm", "gru" or "rnn".
        variant: Whether the LSTM has the identity output, or the RNN ReLU.
        reverse: Start with the last step.
        precision: See `product_precision`.
    """

    name: str
    variant: bool
    reverse: bool
    precision: str

    @property
    def outputs_hidden(self) -> bool:
        """Whether a step's output is its hidden state."""
        return self.name != "lstm" or not self.variant


class Launch:
    """Launches a kernel on given tensors: once, or for each step.

    Triton looks for the compiled kernel at each launch, by all arguments, which takes the host longer than a short
    sequence takes the device. So that is done once for each `key`, which contains all on which Triton specialises a
    kernel; numbers are not among it. Later launches give the compiled kernel the addresses of the tensors.

    Args:
        kernel: A kernel of `persistent.py` or `stepped.py`; its arguments are the tensors, numbers and constants.
        grid: Number of programs along two axes.
        call, plan, size: What the constants depend on; `plan` is None for the kernels of `stepped.py`, and `size` the
            number of units `H`.
        first: The first tensor: the weights, or their product.
        others: The other tensors, None for those that are not there.
    """

    def __init__(
        self,
        kernel: Any,
        grid: tuple[int, int],
        call: Call,
        plan: Plan | None,
        size: int,
        first: Tensor,
        *others: Tensor | None,
    ) -> None:
        self.kernel, self.grid, self.tensors = kernel, (*grid, 1), [first, *others]
        self.call, self.plan, self.size, self.dtype = call, plan, size, first.dtype
        self.addresses = [None if tensor is None else tensor.data_ptr() for tensor in self.tensors]
        types = [None if tensor is None else tensor.dtype for tensor in self.tensors]
        aligned = [address is None or address % 16 == 0 for address in self.addresses]
        self.key = kernel.__name__, first.get_device(), call, plan, size, *types, *aligned
        self.again: Callable[..., None] | None = None

    def __call__(self, *numbers: int) -> None:
        """Launch the kernel on the current device, which must be that of the tensors."""
        if self.again is not None:
            self.again(*self.addresses, *numbers)
        elif self.key in compiled:
            kernel, constants = compiled[self.key]
            run = kernel[self.grid]
            self.again = lambda *given: run(*given, *constants)
            self.again(*self.addresses, *numbers)
        else:
            self._find(*numbers)

    def _find(self, *numbers: int) -> None:
        options = self.constants()
        # fusing a * b + c is the default up to Triton 3.9, which warns that this will change
        kernel = self.kernel[self.grid](*self.tensors, *numbers, **options, enable_fp_fusion=True)
        if not INTERPRETED:
            compiled[self.key] = kernel, [options[name] for name in self.kernel.arg_names if name in options]

    def constants(self) -> dict[str, Any]:
        """Return the kernel's compile-time constants, and Triton's options."""
        call, plan, dtype = self.call, self.plan, self.dtype
        approximate = dtype in (torch.float16, torch.bfloat16) and not INTERPRETED
        sizes = {"gates": NUM_GATES[call.name], "num_kept": NUM_KEPT[call.name], "size": self.size}
        common = {"cell": call.name, "variant": call.variant, "reverse": call.reverse, "approximate": approximate}
        if plan is None:
            return {**common, **sizes, "block": BLOCK}
        return {
            **common,
            **sizes,
            **{"padded": plan.padded, "precision": call.precision, "alone": plan.alone, "streamed": plan.streamed},
            **{"block_units": plan.units, "block_rows": plan.rows, "each": plan.chunk},
            **{"num_warps": plan.warps, **({} if plan.alone else {"launch_cooperative_grid": True})},
        }
