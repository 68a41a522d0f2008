from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.data.device_only import DEVICES, DeviceOnly


def refusal(function: Callable[[Tensor], object], device: str) -> str:
    numbers = torch.ones(2, device=device)
    try:
        with DeviceOnly(device):
            function(numbers)
    except (AssertionError, NotImplementedError) as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: x * x.sum().item(), "waits for the device"),
        (lambda x: x if (x > 0).all() else -x, "waits for the device"),
        (lambda x: x[x > 0], "waits for the device"),
        (lambda x: x.nonzero(), "waits for the device"),
        (lambda x: x * torch.tensor([1.0, 2.0], device=x.device), "numbers of the host"),
        (lambda x: x * x.new_tensor([1.0, 2.0]), "numbers of the host"),
        (lambda x: x * torch.ones(2).to(x.device), "has a tensor on cpu"),
        (lambda x: x * torch.rand((), generator=torch.Generator()), "has a tensor on cpu"),
        (lambda x: x.copy_(torch.ones(2)), "has a tensor on cpu"),
        (lambda x: x.cpu(), "Cannot copy out of meta tensor"),
    ],
    ids=["item", "branch", "mask", "nonzero", "constant", "new", "sent", "scalar", "copied", "fetched"],
)
def test_what_waits_or_copies_is_refused_on_one_of_the_devices(function, reason):
    assert reason in "; ".join(refusal(function, device) for device in DEVICES)


@pytest.mark.parametrize("device", DEVICES)
def test_kernels_are_let_through(device):
    numbers = torch.ones(2, device=device)
    with DeviceOnly(device) as guard:
        result = (numbers[torch.arange(2, device=device)] * 2.0).clamp(0, 1).long() >> 3
    assert result.device.type == device
    assert {"index", "mul", "clamp", "_to_copy", "__rshift__"} <= set(guard.operations)
