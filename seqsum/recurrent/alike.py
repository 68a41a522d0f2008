"""Whether a tensor has the type and device of another, and as many features as a layer reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

Default = TypeVar("Default")
Module = TypeVar("Module", bound=nn.Module)
COMPLEX = {torch.float16: torch.complex32, torch.float32: torch.complex64, torch.float64: torch.complex128}


def check_alike(name: str, tensor: Tensor, dtype: torch.dtype, device: torch.device, what: str = "the weights") -> None:
    """Raise a ValueError unless a tensor is dense and has this type and device, which `what` names in the message."""
    if tensor.layout != torch.strided:
        raise ValueError(f"{name} of layout {tensor.layout} must be of layout {torch.strided}")
    if tensor.dtype != dtype:
        raise ValueError(f"{name} of type {tensor.dtype} must be of the type of {what}, {dtype}")
    if tensor.device != device:
        raise ValueError(f"{name} on {tensor.device} must be on the device of {what}, {device}")


def check_features(name: str, tensor: Tensor, input_size: int) -> None:
    """Raise a ValueError unless a tensor's last axis has `input_size` features."""
    if tensor.shape[-1] != input_size:
        raise ValueError(
            f"{name} of shape {tuple(tensor.shape)} must have `input_size` (={input_size}) features, "
            f"not {tensor.shape[-1]}"
        )


def check_like(name: str, tensor: Tensor, weight: Tensor) -> None:
    """Raise a ValueError unless a tensor has the type and device of a weight. Under autocast, which casts it, it may
    have any floating-point type.
    """
    is_cast = tensor.dtype != weight.dtype and tensor.is_floating_point() and autocasts(tensor.device)
    check_alike(name, tensor, tensor.dtype if is_cast else weight.dtype, weight.device)


def check_states(name: str, states: Sequence[Tensor], weight: Tensor, initial: Callable[[], Sequence[Tensor]]) -> None:
    """Raise a ValueError unless states have the type and device of a weight, or if they hold no floating-point numbers,
    such as a counter, those of the initial state.
    """
    for place, state in enumerate(states):
        if state.is_floating_point():
            check_like(name, state, weight)
        else:
            own = initial()[place]
            check_alike(name, state, own.dtype, own.device, "the cell's `initial_state`")


def real_weight(module: nn.Module, otherwise: Default) -> Tensor | Default:
    """Return the first weight of floating-point numbers, whose type and device stand for all; `otherwise` if none."""
    return next((weight for weight in module.parameters() if weight.is_floating_point()), otherwise)


def to_type(module: Module, dtype: torch.dtype, device: torch.device | None = None) -> Module:
    """Move a module to a type of floating-point numbers, and a device.

    Complex weights get the complex type of the same precision: `Module.to` would drop their imaginary part.
    """

    def moved(tensor: Tensor) -> Tensor:
        wanted = COMPLEX.get(dtype) if tensor.is_complex() else dtype if tensor.is_floating_point() else None
        return tensor.to(device, wanted)

    tensors = [*module.parameters(), *module.buffers()]
    if all(moved(tensor) is tensor for tensor in tensors):  # `_apply` would exchange them all the same
        return module
    return module._apply(moved)


def autocasts(device: torch.device) -> bool:
    """Whether autocast is enabled for a device; False on `meta`, where torch would raise an error."""
    there = device.type != "meta" if torch.compiler.is_compiling() else torch.amp.is_autocast_available(device.type)
    return there and torch.is_autocast_enabled(device.type)
