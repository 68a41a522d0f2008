"""Checks of the tensors that a cell runs on.

A kernel reads and writes memory by address. So `check_tensors` first checks sizes, types and devices of inputs, states,
mask, dropout and weights, and `are_plain` tells whether a kernel may access them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from seqsum.recurrent.alike import check_alike, check_features, check_like
from seqsum.recurrent.cells import GRUCell, LSTMCell, PackedCell, RecurrentCell, RNNCell

PLAIN = (Tensor, nn.Parameter)
NUM_GATES: dict[type[RecurrentCell], int] = {RNNCell: 1, LSTMCell: 4, GRUCell: 3}
WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def check_tensors(
    cell: RecurrentCell, inputs: Tensor, state: Sequence[Tensor], mask: Tensor | None
) -> Sequence[Tensor]:
    """Check the arguments of `unroll` and return all tensors among them, with the weights of a built-in cell.

    Raises:
        ValueError: A size, type or device doesn't fit.
    """
    if not isinstance(inputs, Tensor):
        raise ValueError(f"`inputs` (={type(inputs).__name__}) must be a tensor")
    if inputs.dim() != 3:
        raise ValueError(f"`inputs` of shape {tuple(inputs.shape)} must have three axes, (T, B, F)")
    if inputs.shape[0] == 0:
        raise ValueError(f"`inputs` of shape {tuple(inputs.shape)} (T, B, F) must have at least one time step")
    _check_state(cell, inputs, state)
    if mask is not None:
        _check_mask(mask, inputs)
    weights = _weights(cell)
    if weights:
        _check_types(cell, inputs, state, weights)
    given = [inputs, *state, *weights.values()]
    return given if mask is None else [mask, *given]


def are_plain(tensors: Sequence[Tensor]) -> bool:
    """Whether a kernel may run on the tensors that `check_tensors` returned. Otherwise the loop in Python has to run,
    whose torch operations accept any tensor.
    """
    dtype = tensors[-1].dtype  # under autocast types may differ
    return all(is_plain(tensor) and (tensor.dtype == dtype or tensor.dtype == torch.bool) for tensor in tensors)


def overrides_functions(tensor: Tensor) -> bool:
    """Whether a tensor is of a subclass with a `__torch_function__` of its own."""
    kind = type(tensor)
    return kind not in PLAIN and kind.__torch_function__ is not torch._C._disabled_torch_function_impl


def is_plain(tensor: Tensor) -> bool:
    """Whether a tensor's values are what its memory holds: strided, no subclass, not on `meta`, no lazy negation.

    FakeTensor is a subclass, for example; `x.conj().imag` is the negative of its memory; a sparse tensor has no
    strides; a tensor on `meta` has no memory.
    """
    return (
        type(tensor) in PLAIN
        and tensor.layout == torch.strided
        and not (tensor.is_neg() or tensor.is_meta or tensor._is_zerotensor())
    )


def _check_state(cell: RecurrentCell, inputs: Tensor, state: Sequence[Tensor]) -> None:
    sizes = list(cell.state_size)
    if len(state) < len(sizes) or not all(isinstance(tensor, Tensor) for tensor in state):
        names = [type(tensor).__name__ for tensor in state]
        raise ValueError(f"`state` (={names}) must be a list of {len(sizes)} tensors and the cell's constants")
    batch = inputs.shape[1]
    shapes = [tuple(tensor.shape) for tensor in state[: len(sizes)]]
    if shapes != [(batch, size) for size in sizes]:
        raise ValueError(f"`state` of shapes {shapes} must be of {[(batch, size) for size in sizes]}, (B, S) each")
    if type(cell) in NUM_GATES and len(state) > len(sizes):
        _check_dropout(state[len(sizes) :], (batch, sizes[0]))


def _check_dropout(constants: Sequence[Tensor], expected: tuple[int, int]) -> None:
    shapes = [tuple(tensor.shape) for tensor in constants]
    if shapes != [expected]:
        raise ValueError(f"`state` has constants of shapes {shapes}, but may only have a dropout mask of {expected}")


def _check_mask(mask: Any, inputs: Tensor) -> None:
    if not isinstance(mask, Tensor):
        raise ValueError(f"`mask` (={type(mask).__name__}) must be a tensor")
    if mask.shape != inputs.shape[:2]:
        raise ValueError(f"`mask` of shape {tuple(mask.shape)} must be of {tuple(inputs.shape[:2])}, (T, B)")
    check_mask_type(mask, inputs)


def check_mask_type(mask: Tensor, inputs: Tensor) -> None:
    """Raise a ValueError unless a mask is boolean and on the device of the inputs."""
    if mask.dtype != torch.bool:
        raise ValueError(f"`mask` of type {mask.dtype} must be of type torch.bool")
    check_alike("`mask`", mask, torch.bool, inputs.device, "the inputs")


def _weights(cell: RecurrentCell) -> dict[str, Tensor]:
    """Return a built-in cell's weights by name; nothing for other cells, since only torch's operations read theirs."""
    if not isinstance(cell, PackedCell) or type(cell) not in NUM_GATES:
        return {}
    names = (*WEIGHTS, "weight_hr") if isinstance(cell, LSTMCell) else WEIGHTS
    return {name: weight for name in names if (weight := getattr(cell, name)) is not None}


def _check_types(cell: RecurrentCell, inputs: Tensor, state: Sequence[Tensor], weights: Mapping[str, Tensor]) -> None:
    """Check weights, inputs and state: sizes, and the type and device of the weights; autocast may cast the type."""
    reference = weights["weight_ih"]
    rows, size, read = NUM_GATES[type(cell)] * cell.hidden_size, cell.hidden_size, cell.state_size[0]
    shapes = {"weight_ih": (rows, cell.input_size), "weight_hh": (rows, read), "weight_hr": (read, size)}
    check_features("`inputs`", inputs, cell.input_size)
    for name, weight in weights.items():
        if weight.shape != (expected := shapes.get(name, (rows,))):
            raise ValueError(f"`{name}` of shape {tuple(weight.shape)} must be of {expected}")
        check_alike(f"`{name}`", weight, reference.dtype, reference.device, "`weight_ih`")
    check_like("`inputs`", inputs, reference)
    for k, tensor in enumerate(state):
        check_like(f"`state[{k}]`", tensor, reference)
