"""RNN, LSTM and GRU in C++ for CPUs: one call runs all steps. Compiled on first use for the processor of the machine.

`layer.h` describes the task and the memory layout, `forward.h` and `backward.h` contain the loops over time, `lstm.h`,
`gru.h` and `rnn.h` the equations of a step, `product.h` the matrix products, `vectors.h` σ and tanh.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from seqsum.recurrent.cells import PackedCell, RecurrentCell
from seqsum.recurrent.kernels.autograd import Run, run_kernel
from seqsum.recurrent.kernels.native.build import REALS, load_library
from seqsum.recurrent.kernels.native.unroll import InFloat32, UnrollNative
from seqsum.recurrent.kernels.written_for import NAMES, edited, has_kernels

__all__ = ["find_native_kernel", "native_obstacle", "native_pays"]

BYTES_A_STEP = 2**17  # of input weights that a step repays, see docs/speed.md
CHEAPER = 16  # times as many of recurrent weights, which are packed once and not read again


def _multiplies_float16() -> bool:
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_fp16_supported()


# Whether the processor multiplies 16-bit numbers; otherwise torch's products take up to ten times as long as float32's
MULTIPLIES: dict[torch.dtype, Callable[[], bool]] = {
    torch.bfloat16: torch.cpu._is_avx512_bf16_supported,  # there is no public way to ask
    torch.float16: _multiplies_float16,
}


def find_native_kernel(cell: RecurrentCell) -> Run | str:
    """Return the kernel for this cell, or explain why there is none."""
    if not has_kernels(cell):
        return "the kernels are for RNNCell, LSTMCell and GRUCell, not for subclasses, `layer_norm` or `proj_size`"
    weight = cell.weight_ih
    if weight.device.type != "cpu" or not (weight.dtype in REALS or weight.dtype in MULTIPLIES):
        return f"the kernels are for real numbers on a CPU, not for {weight.dtype} on {weight.device.type}"
    if why := edited(cell):
        return why
    library = load_library(REALS.get(weight.dtype, REALS[torch.float32]))
    if isinstance(library, str):
        return library
    kernel = partial(UnrollNative, library, NAMES[type(cell)])
    return partial(run_kernel, kernel if weight.dtype in REALS else partial(InFloat32, kernel))


def native_obstacle(cell: RecurrentCell) -> str | None:
    """Explain why the kernels can't run this cell; None if they can."""
    found = find_native_kernel(cell)
    return found if isinstance(found, str) else None


def native_pays(cell: PackedCell, steps: int | None) -> bool:
    """Whether the kernel runs as fast as torch's products do, whatever the size of the batch.

    It packs all weights in each call, and with more than a few rows reads those of the input again in each step.
    """
    weight_ih = cell.weight_ih
    dtype = weight_ih.dtype
    if dtype in MULTIPLIES and MULTIPLIES[dtype]():
        return False
    of_input, of_state = (weight.numel() * max(4, dtype.itemsize) for weight in (weight_ih, cell.weight_hh))
    return steps is None or of_input + of_state // CHEAPER <= steps * BYTES_A_STEP
