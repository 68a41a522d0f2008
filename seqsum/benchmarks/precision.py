"""Sets the precision of float32 products on a GPU, for torch and cuDNN, and restores it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch

from seqsum.errors import check_choice

Precision = Literal["ieee", "tf32"]


@contextmanager
def float32_products(precision: Precision) -> Iterator[None]:
    """Within the block, multiply float32 in full (`ieee`) or rounded to TensorFloat-32's 11 bits (`tf32`).

    This applies to matrix products, convolutions and recurrent layers on all CUDA devices; the CPU multiplies in full.
    torch 2.9 added a second set of switches, `fp32_precision`, and refuses to read the old ones, `allow_tf32`,
    if the two disagree. So both are set, the old ones first, because setting them changes the new ones too.

    Raises:
        ValueError: The precision is unknown.
    """
    check_choice("precision", precision, Precision)
    switches = _switches()
    before = [switch.fp32_precision for switch in switches]
    allowed = [name == "tf32" for name in before[:2]] if switches else _allowed()
    try:
        _set([precision == "tf32"] * 2, [precision] * len(switches))
        yield
    finally:
        _set(allowed, before)


def _switches() -> list[Any]:
    """List the switches of torch 2.9 and later, for matrix products, recurrent layers and convolutions."""
    cudnn: Any = torch.backends.cudnn
    matmul = torch.backends.cuda.matmul
    return [matmul, cudnn.rnn, cudnn.conv] if hasattr(matmul, "fp32_precision") else []


def _allowed() -> list[bool]:
    return [torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32]


def _set(allowed: list[bool], precisions: list[str]) -> None:
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = allowed
    for switch, precision in zip(_switches(), precisions, strict=True):
        switch.fp32_precision = precision
