"""RNN, LSTM and GRU in C++, compiled when first needed for the processor at hand: all steps in one call.

`layer.h` says what is computed and where it lies, `forward.h` and `backward.h` hold the loops over time, `lstm.h`,
`gru.h` and `rnn.h` the equations of a step, `product.h` the products, `vectors.h` σ and tanh.
"""

from __future__ import annotations

from functools import partial
from typing import TypeGuard

from seqsum.recurrent.cells import GRUCell, LSTMCell, PackedCell, RecurrentCell, RNNCell
from seqsum.recurrent.kernels.autograd import Run, run_kernel
from seqsum.recurrent.kernels.native.build import REALS, load_library
from seqsum.recurrent.kernels.native.unroll import UnrollNative
from seqsum.recurrent.kernels.written_for import edited

__all__ = ["find_native_kernel", "native_obstacle"]

_NAMES: dict[type[RecurrentCell], str] = {RNNCell: "rnn", LSTMCell: "lstm", GRUCell: "gru"}


def native_obstacle(cell: RecurrentCell) -> str | None:
    """Why the kernels can't run this cell, in words; None if they can."""
    if not _is_plain(cell):
        return "the kernels are for RNNCell, LSTMCell and GRUCell, not for subclasses, `layer_norm` or `proj_size`"
    if why := edited(cell):
        return why
    weight = cell.weight_ih
    if weight.device.type != "cpu" or weight.dtype not in REALS:
        return f"the kernels are for float32 and float64 on a CPU, not {weight.dtype} on {weight.device.type}"
    library = load_library(REALS[weight.dtype])
    return library if isinstance(library, str) else None


def find_native_kernel(cell: RecurrentCell) -> Run:
    """The kernel for this cell, to be called with the cell as every kernel.

    Raises:
        RuntimeError: There is none, or it can't be compiled here.
    """
    obstacle = native_obstacle(cell)
    if obstacle is not None or not _is_plain(cell):
        raise RuntimeError(f"`backend` (='native') can't run {type(cell).__name__}: {obstacle}")
    library = load_library(REALS[cell.weight_ih.dtype])
    return partial(run_kernel, partial(UnrollNative, library, _NAMES[type(cell)]))


def _is_plain(cell: RecurrentCell) -> TypeGuard[PackedCell]:
    """One of the very types, without what the kernels don't know: a subclass may compute something else."""
    plain = isinstance(cell, PackedCell) and type(cell) in _NAMES and not cell.layer_norm
    return plain and not (isinstance(cell, LSTMCell) and cell.proj_size)
