"""A guard that needs no GPU: checks that code would run on one without synchronising or copying from the host."""

from __future__ import annotations

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

DEVICES = ["cpu", "meta"]  # constants show only on the first, tensors on the CPU only on the second
WAITING = {"_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select", "_unique2", "unique_dim"}
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}


class DeviceOnly(TorchDispatchMode):
    """Refuses operations that make the host wait, copy numbers from the host, or leave the device.

    Attributes:
        operations: Names of the operations that were allowed.
    """

    def __init__(self, device: str) -> None:
        super().__init__()
        self.device = device
        self.operations: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        masked = name in INDEXING and any(tensor.dtype.itemsize == 1 for tensor in given[1:])  # bool, uint8
        if name in WAITING or masked:
            raise AssertionError(f"{func} waits for the device")
        if name == "lift_fresh":  # of `torch.tensor`
            raise AssertionError(f"{func} makes a tensor of numbers of the host")
        result = func(*args, **(kwargs or {}))
        for tensor in [*given, *(leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor))]:
            if tensor.device.type != self.device:
                raise AssertionError(f"{func} has a tensor on {tensor.device}")
        self.operations.append(name)
        return result
