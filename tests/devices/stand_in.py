"""A stand-in for Apple's GPUs: a device `apple` whose tensors lie on the CPU, and that has what torch's `mps` has.

It has no float64, pads what `grid_sample` reads by zeros alone, as before torch 2.13, and lacks the operations that are
not in torch's list for `mps`. Operations on tensors of both devices are refused, as by any GPU.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torchgen
import yaml
from lightning.pytorch.accelerators import Accelerator, AcceleratorRegistry
from lightning.pytorch.strategies import SingleDeviceStrategy
from lightning.pytorch.trainer.connectors import accelerator_connector
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

COPIES = {"_to_copy", "copy_", "_copy_from"}


class OnApple(Tensor):
    """A tensor on the device; `inner` is where it lies."""

    __torch_function__ = torch._C._disabled_torch_function_impl
    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> OnApple:
        layout = {"strides": inner.stride(), "storage_offset": inner.storage_offset(), "dtype": inner.dtype}
        made = Tensor._make_wrapper_subclass(cls, inner.size(), device="apple:0", **layout)
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return run(operation, args, kwargs or {})

    # what torch refuses for its subclasses, and does for any device

    def tolist(self) -> Any:
        return self.inner.tolist()

    def __format__(self, specification: str) -> str:
        return format(self.inner.detach(), specification)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.inner.detach().__reduce_ex__(protocol)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        copied: Tensor = OnApple(self.inner.detach().clone())
        memo[id(self)] = torch.nn.Parameter(copied, self.requires_grad) if hasattr(self, "_is_param") else copied
        return memo[id(self)]


def run(operation: Any, args: Any, kwargs: Any) -> Any:
    """Run an operation that has tensors of the device, or makes some."""
    name, given = operation.overloadpacket.__name__, [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
    ours = [tensor for tensor in given if isinstance(tensor, OnApple)]
    if name not in COPIES and not name.startswith("index"):  # which take places on the CPU
        alien = [tensor for tensor in given if not isinstance(tensor, OnApple) and tensor.dim() > 0]
        assert not (ours and alien), f"{operation} has tensors on two devices"
    assert _is_there(str(operation).removeprefix("aten.").removesuffix(".default")), f"torch has no {operation} for mps"
    assert name != "grid_sampler_2d" or args[3] == 0, "before torch 2.13, only zeros are padded"
    target = kwargs.get("device")
    result = operation(*tree_map(_inner, args), **tree_map(_inner, kwargs))
    stays = isinstance(args[0], OnApple) if name == "copy_" else bool(ours)
    if not (stays if target is None else torch.device(target).type == "apple"):
        return result
    for tensor in tree_leaves(result):
        assert not isinstance(tensor, Tensor) or tensor.dtype not in (torch.float64, torch.complex128), (
            f"{operation} has a result of {tensor.dtype}, which Apple's GPUs lack"
        )
    made = tree_map(lambda each: OnApple(each) if isinstance(each, Tensor) else each, result)
    return return_and_correct_aliasing(operation, args, kwargs, made) if given else made


def _inner(value: Any) -> Any:
    if isinstance(value, OnApple):
        return value.inner
    return torch.device("cpu") if isinstance(value, torch.device) and value.type == "apple" else value


@functools.cache
def _listed() -> dict[str, Any]:
    path = Path(torchgen.__file__).parent / "packaged/ATen/native/native_functions.yaml"
    return {entry["func"].partition("(")[0]: entry for entry in yaml.safe_load(path.read_text())}


@functools.cache
def _is_there(name: str) -> bool:
    """Whether torch has an operation for `mps`, or makes it of others."""
    entry = _listed().get(name, {})
    if "structured_delegate" in entry:
        return _is_there(entry["structured_delegate"])
    places = [place.strip() for several in entry.get("dispatch", {}) for place in several.split(",")]
    return not places or any(place == "MPS" or place.startswith("Composite") for place in places)


def _made_on_the_host(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def made(*values: Any, device: Any = None, **options: Any) -> Tensor:
        if device is not None and torch.device(device).type == "apple":
            return make(*values, **options).to(device)
        return make(*values, device=device, **options)

    return made


class AppleAccelerator(Accelerator):
    """Lightning's part."""

    @staticmethod
    def parse_devices(devices: Any) -> list[int]:
        return [0]

    @staticmethod
    def get_parallel_devices(devices: Any) -> list[torch.device]:
        return [torch.device("apple", 0)]

    @staticmethod
    def auto_device_count() -> int:
        return 1

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    def name() -> str:
        return "apple"

    def setup_device(self, device: Any) -> None:
        pass

    def get_device_stats(self, device: Any) -> dict[str, Any]:
        return {}

    def teardown(self) -> None:
        pass


class Library(backend_registration._DummyBackendModule):
    """What torch asks of the module `torch.apple`."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]


def install() -> torch.library.Library:
    """Give torch and Lightning the device, for the rest of the process; keep the result alive."""
    backend_registration._setup_privateuseone_for_python_backend("apple", backend_module=Library())
    library = torch.library.Library("_", "IMPL")
    library.fallback(lambda operation, *args, **kwargs: run(operation, args, kwargs), "PrivateUse1")
    torch.tensor, torch.as_tensor = _made_on_the_host(torch.tensor), _made_on_the_host(torch.as_tensor)
    AcceleratorRegistry.register("apple", AppleAccelerator)
    accelerator_connector._AcceleratorConnector._choose_strategy = lambda self: SingleDeviceStrategy("apple:0")
    return library
