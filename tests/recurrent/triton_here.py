"""Whether Triton can run kernels here, on a GPU or in its interpreter."""

from functools import cache

import torch
import triton
import triton.language as tl

from seqsum.recurrent.kernels.triton.compiled import INTERPRETED

CUDA = torch.cuda.is_available() and not INTERPRETED


@triton.jit
def _count(pointer, length):
    for k in range(length):
        tl.store(pointer, k)


@cache
def why_not_here():
    """Explain why Triton can't run kernels here; empty if it can."""
    if not CUDA and not INTERPRETED:
        return "needs a GPU or TRITON_INTERPRET=1"
    try:
        _count[(1,)](torch.zeros(1, device="cuda" if CUDA else "cpu"), 2)
    except Exception as error:  # such as Triton 3.6 with NumPy 2.4, where an array can't be the length of a loop
        return f"Triton can't run a loop here: {error}"
    return ""
