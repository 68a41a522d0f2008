"""What is active around a call: modes, transforms and hooks that see torch's operations, but not those of a kernel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import _get_current_function_mode_stack
from torch.utils._device import DeviceContext


def would_hide(kernel: str) -> bool:
    """Whether something is active that a kernel would hide its operations from, or has no equations for.

    bptt's torch operations reach a dispatch mode; a function mode would not see those of its backward pass.
    """
    return has_function_mode() or _is_mapped() or (kernel != "bptt" and has_dispatch_mode())


def is_transformed() -> bool:
    """Whether only plain torch operations will do: under torch.compile, torch.export, torch.jit.trace, torch.func
    transforms, forward-mode differentiation or a dispatch mode.
    """
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or has_dispatch_mode():
        return True
    return _is_mapped()


def has_dispatch_mode() -> bool:
    """Whether a dispatch mode is active (FakeTensorMode, make_fx, a user's own): it only sees torch operations."""
    return torch._C._len_torch_dispatch_stack() > 0  # there is no public way to ask


def has_function_mode() -> bool:
    """Whether a TorchFunctionMode sees, and may replace, the functions that are called. That of torch's default device
    replaces none of a step's.
    """
    if torch._C._len_torch_function_stack() == 0:
        return False
    return not all(isinstance(mode, DeviceContext) for mode in _get_current_function_mode_stack())


def _is_mapped() -> bool:
    """Whether a torch.func transform or forward-mode differentiation is at work, for which no kernel has equations."""
    functorch = getattr(torch._C, "_functorch", None)  # there is no public way to ask
    level = functorch.maybe_current_level() if functorch is not None else None
    forward_level: int = getattr(torch.autograd.forward_ad, "_current_level", -1)
    return level is not None or forward_level >= 0


def has_values(tensor: Tensor) -> bool:
    """Whether the numbers of a tensor can be read: not on `meta`, in a graph that is made, or where vmap maps it."""
    if tensor.is_meta or torch.compiler.is_compiling() or torch.jit.is_tracing() or _is_fake():
        return False
    functorch: Any = getattr(torch._C, "_functorch", None)  # there is no public way to ask
    while functorch is not None and functorch.is_functorch_wrapped_tensor(tensor):
        if functorch.is_batchedtensor(tensor):
            return False
        tensor = functorch.get_unwrapped(tensor)
    return True


def _is_fake() -> bool:
    """Whether tensors stand for others without numbers (FakeTensorMode), or a graph is made of what runs (make_fx)."""
    keys: Any = torch._C._TorchDispatchModeKey  # there is no public way to ask
    return any(torch._C._get_dispatch_mode(key) is not None for key in (keys.FAKE, keys.PROXY))


def saves_through_hooks() -> bool:
    """Whether what the backward pass needs is saved through hooks, as by torch.utils.checkpoint."""
    return torch._C._autograd._top_saved_tensors_default_hooks(False) is not None  # there is no public way to ask


def is_recomputed() -> bool:
    """Whether torch.utils.checkpoint recomputes this with `use_reentrant=False`, and may stop in the middle."""
    hooks = torch._C._autograd._top_saved_tensors_default_hooks(False)
    return hooks is not None and getattr(hooks[0], "__qualname__", "").startswith("_recomputation_hook")
