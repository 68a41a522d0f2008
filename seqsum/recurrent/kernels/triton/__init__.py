"""Triton kernels for GPUs. One launch runs all steps, or two launches run each if there are too many units and rows.

Only torch's GPU builds come with Triton, so it is imported when a kernel is first needed. With TRITON_INTERPRET=1
set before that import, Triton's interpreter runs the kernels on a CPU, slowly, for tests without a GPU.
"""

from __future__ import annotations

import importlib
import re
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import torch

from seqsum.recurrent.cells import RecurrentCell
from seqsum.recurrent.kernels.autograd import Run, run_kernel
from seqsum.recurrent.kernels.written_for import NAMES, edited, has_kernels

__all__ = ["find_triton_kernel", "triton_obstacle"]

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
OLDEST = (3, 6)  # the oldest Triton that the kernels were run with, from torch 2.11
CAPABILITY = (8, 0)  # the first with products in bfloat16 and TF32


def find_triton_kernel(cell: RecurrentCell) -> Run | str:
    """Return the kernel for this cell, or explain why there is none, or none for its weights' type or device."""
    if not has_kernels(cell):
        return "the kernels are for RNNCell, LSTMCell and GRUCell, not for subclasses, `layer_norm` or `proj_size`"
    if why := edited(cell):
        return why
    if problem := problem_with_triton():
        return problem
    from seqsum.recurrent.kernels.triton.compiled import INTERPRETED
    from seqsum.recurrent.kernels.triton.unroll import UnrollTriton

    obstacle = None if INTERPRETED else _obstacle_on_device(cell.weight_hh.device, cell.weight_hh.dtype)
    return obstacle or partial(run_kernel, partial(UnrollTriton, NAMES[type(cell)]))


def triton_obstacle(cell: RecurrentCell) -> str | None:
    """Explain why the kernels can't run this cell; None if they can."""
    found = find_triton_kernel(cell)
    return found if isinstance(found, str) else None


@cache
def problem_with_triton() -> str | None:
    """Explain why the installed Triton can't be used; None if it can. The answer is kept."""
    if find_spec("triton") is None:
        return "the package triton is not installed"
    try:
        found = version("triton")
    except PackageNotFoundError:  # a package of another name has it, as for AMD's GPUs
        found = str(importlib.import_module("triton").__version__)
    major, minor, *_ = (int(number) for number in re.findall(r"\d+", found))
    if (major, minor) >= OLDEST:
        return None
    return f"the kernels need triton {OLDEST[0]}.{OLDEST[1]} or later, and {found} is installed"


@cache  # asking a device takes the host longer than a launch
def _obstacle_on_device(device: torch.device, dtype: torch.dtype) -> str | None:
    if device.type != "cuda":
        return f"the kernels need a CUDA device, the weights are on {device} (or set TRITON_INTERPRET=1)"
    if torch.version.hip is not None:
        return "the kernels are written for NVIDIA GPUs"
    if dtype not in DTYPES:
        return f"the kernels support {', '.join(map(str, DTYPES))}, the weights are of {dtype}"
    capability = torch.cuda.get_device_capability(device)
    if capability < CAPABILITY:
        return f"the kernels need compute capability {CAPABILITY}, {device} has {capability}"
    return None
