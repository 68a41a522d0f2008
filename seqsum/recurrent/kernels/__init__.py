"""Faster ways to do what `Unroll` does, each tested against it.

Here, backward through time, written by hand in torch's operations; the same in `native/` in C++ for CPUs, in
`triton/` in kernels for GPUs.
"""

from __future__ import annotations

from seqsum.recurrent.cells import GRUCell, LSTMCell, PackedCell, RecurrentCell, RNNCell
from seqsum.recurrent.kernels.common import Kernel
from seqsum.recurrent.kernels.gru import unroll_gru
from seqsum.recurrent.kernels.lstm import unroll_lstm
from seqsum.recurrent.kernels.native import find_native_kernel, native_obstacle
from seqsum.recurrent.kernels.rnn import unroll_rnn
from seqsum.recurrent.kernels.triton import find_triton_kernel, triton_obstacle
from seqsum.recurrent.kernels.written_for import edited

__all__ = ["edited", "find_kernel", "find_native_kernel", "find_triton_kernel", "native_obstacle", "triton_obstacle"]

_KERNELS: dict[type[RecurrentCell], Kernel] = {RNNCell: unroll_rnn, LSTMCell: unroll_lstm, GRUCell: unroll_gru}


def find_kernel(cell: RecurrentCell) -> Kernel | None:
    """The kernel for this cell. Only of the very types: a subclass may compute something else."""
    if isinstance(cell, PackedCell) and type(cell) in _KERNELS and not cell.layer_norm and not edited(cell):
        return _KERNELS[type(cell)]
    return None
