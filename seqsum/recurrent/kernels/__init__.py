"""Kernels: faster replacements for `Unroll`, each tested against it.

This folder has a readable one, backpropagation through time in torch's operations: `lstm.py`, `gru.py` and `rnn.py`
contain the equations, `bptt.py` the loop. The fast ones are `native/`, in C++ for CPUs, and `triton/`, for GPUs. All
connect to autograd through `autograd.py`.
"""

from __future__ import annotations

from functools import partial

from seqsum.recurrent.cells import GRUCell, LSTMCell, PackedCell, RecurrentCell, RNNCell
from seqsum.recurrent.kernels.autograd import Run, run_kernel
from seqsum.recurrent.kernels.bptt import BackwardThroughTime
from seqsum.recurrent.kernels.gru import UnrollGRU
from seqsum.recurrent.kernels.lstm import UnrollLSTM
from seqsum.recurrent.kernels.native import find_native_kernel, native_obstacle, native_pays
from seqsum.recurrent.kernels.rnn import UnrollRNN
from seqsum.recurrent.kernels.triton import find_triton_kernel, triton_obstacle
from seqsum.recurrent.kernels.written_for import edited

__all__ = [
    "edited",
    "find_bptt_kernel",
    "find_native_kernel",
    "find_triton_kernel",
    "native_obstacle",
    "native_pays",
    "triton_obstacle",
]

_KERNELS: dict[type[RecurrentCell], type[BackwardThroughTime]] = {
    RNNCell: UnrollRNN,
    LSTMCell: UnrollLSTM,
    GRUCell: UnrollGRU,
}


def find_bptt_kernel(cell: RecurrentCell) -> Run | str:
    """Return the kernel of `bptt` for a cell, or explain why there is none.

    Subclasses have none: they may compute something else. Complex weights have none: derivatives would be conjugated.
    """
    if not isinstance(cell, PackedCell) or type(cell) not in _KERNELS or cell.layer_norm or cell.weight_ih.is_complex():
        return (
            "the backward pass is written for RNNCell, LSTMCell and GRUCell, not for subclasses, `layer_norm` or "
            "complex weights"
        )
    return edited(cell) or partial(run_kernel, _KERNELS[type(cell)])
