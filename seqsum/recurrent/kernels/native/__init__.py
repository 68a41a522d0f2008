"""RNN, LSTM and GRU in C++ for CPUs: one call runs all steps. Compiled on first use for the processor of the machine.

`layer.h` describes the task and the memory layout, `forward.h` and `backward.h` contain the loops over time, `lstm.h`,
`gru.h` and `rnn.h` the equations of a step, `product.h` the matrix products, `vectors.h` σ and tanh.
"""

from __future__ import annotations

from functools import partial

from seqsum.recurrent.cells import PackedCell, RecurrentCell
from seqsum.recurrent.kernels.autograd import Run, run_kernel
from seqsum.recurrent.kernels.native.build import REALS, load_library
from seqsum.recurrent.kernels.native.unroll import UnrollNative
from seqsum.recurrent.kernels.written_for import NAMES, edited, has_kernels

__all__ = ["find_native_kernel", "native_obstacle", "native_pays"]

BYTES_A_STEP = 2**17  # of weights that a step repays, see docs/speed.md


def find_native_kernel(cell: RecurrentCell) -> Run | str:
    """Return the kernel for this cell, or explain why there is none."""
    if not has_kernels(cell):
        return "the kernels are for RNNCell, LSTMCell and GRUCell, not for subclasses, `layer_norm` or `proj_size`"
    if why := edited(cell):
        return why
    weight = cell.weight_ih
    if weight.device.type != "cpu" or weight.dtype not in REALS:
        return f"the kernels are for float32 and float64 on a CPU, not {weight.dtype} on {weight.device.type}"
    library = load_library(REALS[weight.dtype])
    if isinstance(library, str):
        return library
    return partial(run_kernel, partial(UnrollNative, library, NAMES[type(cell)]))


def native_obstacle(cell: RecurrentCell) -> str | None:
    """Explain why the kernels can't run this cell; None if they can."""
    found = find_native_kernel(cell)
    return found if isinstance(found, str) else None


def native_pays(cell: PackedCell, steps: int) -> bool:
    """Whether the kernel runs that many steps as fast as torch's products do, whatever the size of the batch.

    It packs all weights in each call, and with more than a few rows reads those of the input again in each step.
    """
    of_input, of_state = (weight.numel() * weight.element_size() for weight in (cell.weight_ih, cell.weight_hh))
    return of_input + of_state // 16 <= steps * BYTES_A_STEP
