"""Conversions between lengths, masks and packed sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from seqsum.recurrent.checks import check_mask_type
from seqsum.recurrent.modes import has_values


def time_first_mask(
    input: Tensor, mask: Tensor | None, lengths: Tensor | Sequence[int] | None, batch_first: bool
) -> Tensor | None:
    """Convert a mask or lengths to a mask `(T, B)`; None if neither is given.

    Checking lengths on a GPU waits for the GPU; checking a mask doesn't.

    Args:
        input: `(T, F)`, `(T, B, F)` or, with `batch_first`, `(B, T, F)`.
        mask: Bool, with the axes of `input` except the last.
        lengths: `(B,)`, between 0 and `T`.
        batch_first: Whether the batch is the first axis.

    Raises:
        ValueError: Both are given, shapes or types don't fit, or a length is outside [0, T].
    """
    if mask is not None and lengths is not None:
        raise ValueError("`mask` and `lengths` can't both be given")
    if lengths is not None:
        if input.dim() == 2:
            raise ValueError(f"`lengths` don't go with a single sequence, `input` of shape {tuple(input.shape)}")
        steps, batch = input.shape[:2][:: -1 if batch_first else 1]
        return _lengths_to_mask(_as_tensor(lengths), steps, batch, batch_first, input.device).to(input.device)
    if mask is None:
        return None
    if not isinstance(mask, Tensor):
        raise ValueError(f"`mask` (={type(mask).__name__}) must be a tensor")
    if mask.shape != input.shape[:-1]:
        fits = input.dim() == 3 and mask.shape == input.shape[:2][::-1]
        raise ValueError(
            f"`mask` of shape {tuple(mask.shape)} must have the first axes of `input`, {tuple(input.shape[:-1])}"
            f"{_axes_hint(batch_first) if fits else ''}"
        )
    check_mask_type(mask, input)
    return mask.unsqueeze(1) if input.dim() == 2 else mask.transpose(0, 1) if batch_first else mask


def _axes_hint(batch_first: bool) -> str:
    """Say how the axes of an input are read, for what would fit if they were read the other way."""
    axes, other = ("(B, T, F)", "out") if batch_first else ("(T, B, F)", "")
    return f": the layer reads its input as {axes}, with{other} `batch_first=True` the other way"


def _as_tensor(lengths: Any) -> Tensor:
    if isinstance(lengths, Tensor):
        return lengths
    dtype = torch.long if isinstance(lengths, list | tuple) and not lengths else None  # of none, torch's is float
    try:
        return torch.as_tensor(lengths, dtype=dtype, device="cpu")  # not the default device, which may be `meta`
    except (TypeError, ValueError, RuntimeError) as error:  # torch's errors for values that aren't numbers
        raise ValueError(f"`lengths` (={lengths!r}) must be whole numbers, one for each row") from error


def _lengths_to_mask(lengths: Tensor, steps: int, batch: int, batch_first: bool, device: torch.device) -> Tensor:
    """Convert lengths `(B,)` to a mask `(T, B)`, True before each row's end."""
    if lengths.is_nested or lengths.layout != torch.strided:
        raise ValueError(f"`lengths` of layout {lengths.layout} must be a plain tensor")
    if lengths.is_meta and device.type != "meta":
        raise ValueError(f"`lengths` on meta have no values, and the input is on {device}")
    if lengths.shape != (batch,):
        hint = _axes_hint(batch_first) if lengths.shape == (steps,) else ""
        raise ValueError(f"`lengths` of shape {tuple(lengths.shape)} must be one for each row, ({batch},){hint}")
    if lengths.is_floating_point() or lengths.is_complex() or lengths.dtype == torch.bool:
        raise ValueError(f"`lengths` of type {lengths.dtype} must be whole numbers")
    lengths = lengths.long()  # small types can't hold the number of steps, and torch can't compare unsigned ones
    within = ((lengths >= 0) & (lengths <= steps)).all()
    if torch.compiler.is_compiling():  # there are no values to check yet
        torch._assert_async(within, "`lengths` must be between 0 and the number of steps")
    elif has_values(within) and not within:
        raise ValueError(
            f"`lengths` (from {lengths.min()} to {lengths.max()}) must be between 0 and the number of steps (={steps})"
        )
    return torch.arange(steps, device=lengths.device).unsqueeze(1) < lengths


def pad(packed: PackedSequence) -> tuple[Tensor, Tensor]:
    """Unpack a packed sequence to `(T, B, F)`, rows in its sorted order, and lengths `(B,)`."""
    return pad_packed_sequence(PackedSequence(packed.data, packed.batch_sizes))


def pack_like(outputs: Tensor, lengths: Tensor, packed: PackedSequence) -> PackedSequence:
    """Pack outputs `(T, B, O)`, rows in the order of `pad`, with the indices of `packed`."""
    data = pack_padded_sequence(outputs, lengths).data
    return PackedSequence(data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices)


def reorder(states: list[Tensor], order: Tensor | None) -> list[Tensor]:
    """Reorder the rows of states `(N, B, S)` by the indices `order`, `(B,)`."""
    return states if order is None else [state.index_select(1, order) for state in states]
