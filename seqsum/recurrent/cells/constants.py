"""Constants that a caller gives to a cell, such as the source that an attention cell reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from seqsum.recurrent.alike import check_alike, check_like

Constants = Tensor | Sequence[Tensor | None]


def list_constants(cell: Any, given: Constants | None, batch: Sequence[int]) -> list[Tensor | None]:
    """Return the constants given to a cell as a list, `(B, …)` each.

    Args:
        cell: A cell; its `constant_names` say what it takes.
        given: One tensor `(B, …)` for each name, in their order, or None for one that the cell can do without. For a
            single sequence, without the axis `B`.
        batch: `(B,)`; empty for a single sequence.

    Raises:
        ValueError: There are more or fewer than the cell takes, one is no tensor, or the batch size differs.
    """
    names: tuple[str, ...] = getattr(cell, "constant_names", ())
    several = isinstance(given, Sequence)
    tensors: list[Any] = [] if given is None else list(given) if several else [given]
    if len(tensors) != len(names):
        came, wanted = f"`constants` ({len(tensors)} given)", ", ".join(f"`{name}`" for name in names)
        kind = type(cell).__name__
        raise ValueError(f"{came} must be {wanted} for {kind}" if names else f"{came} must be None: {kind} takes none")
    return [_with_batch(name, tensor, batch) for name, tensor in zip(names, tensors, strict=True)]


def _with_batch(name: str, tensor: Any, batch: Sequence[int]) -> Tensor | None:
    if tensor is None:
        return None
    if not isinstance(tensor, Tensor):
        raise ValueError(f"`{name}` of `constants` (={type(tensor).__name__}) must be a tensor or None")
    if not batch:
        return tensor.unsqueeze(0)
    if tensor.shape[:1] != tuple(batch):
        raise ValueError(
            f"`{name}` of `constants`, of shape {tuple(tensor.shape)}, must be (B, …) with a row for each of the "
            f"{batch[0]} sequences"
        )
    return tensor


def check_constants(cell: Any, given: list[Tensor | None], input: Tensor, weight: Tensor) -> None:
    """Raise a ValueError unless constants have the type of a weight, or hold no floating-point numbers, and are on the
    device of the input; under autocast, they may have any floating-point type.
    """
    for name, tensor in zip(getattr(cell, "constant_names", ()), given, strict=True):
        if tensor is None:
            continue
        if tensor.is_floating_point():
            check_like(f"`{name}` of `constants`", tensor, weight)
        else:
            check_alike(f"`{name}` of `constants`", tensor, tensor.dtype, input.device, "the input")


def reorder_constants(constants: list[Tensor | None], order: Tensor | None) -> list[Tensor | None]:
    """Reorder the rows of constants `(B, …)` by the indices `order`, `(B,)`."""
    if order is None:
        return constants
    return [None if tensor is None else tensor.index_select(0, order) for tensor in constants]
