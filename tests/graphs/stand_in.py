"""A stand-in for CUDA graphs on a CPU: records operations without effect and replays them on the same memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten
# They need a number, or a size that depends on numbers, on the host, or bring one from there.
FORBIDDEN = (aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten.lift_fresh, aten.lift)


def tensors(values: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor))


class Recorder(TorchDispatchMode):
    """Records each operation with its tensors, and their values before it."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[tuple[bool, Callable[..., Any], Any, Any, Any]] = []
        self.before: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if operation.overloadpacket in FORBIDDEN:
            raise RuntimeError(f"{operation} can't be captured")
        for tensor in tensors((args, kwargs)):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in self.before:
                self.before[storage.data_ptr()] = storage, storage.clone()
        result = operation(*args, **(kwargs or {}))
        self.operations.append((torch.is_grad_enabled(), operation, args, kwargs or {}, result))
        return result

    def undo(self) -> None:
        """Restore the earlier values; fill new tensors with NaN, because the graph has not run yet."""
        for tensor in tensors([result for *_, result in self.operations]):
            if tensor.untyped_storage().data_ptr() not in self.before and tensor.is_floating_point():
                tensor.data.fill_(torch.nan)  # without autograd noticing the write
        for storage, content in self.before.values():
            storage.copy_(content)

    def replay(self) -> None:
        # autograd and autocast have had their parts when this was recorded
        with torch._C._AutoDispatchBelowAutograd(), torch.autocast("cpu", enabled=False):
            for grad_enabled, operation, args, kwargs, recorded in self.operations:
                with torch.set_grad_enabled(grad_enabled):  # some operations keep more for it
                    result = operation(*args, **kwargs)
                for old, new in zip(tensors(recorded), tensors(result), strict=True):
                    if old.untyped_storage().data_ptr() != new.untyped_storage().data_ptr():
                        old.copy_(new)


class StandIn:
    """Replaces `Captures`, and counts captures and replays over all instances of the class."""

    captured = 0
    replayed = 0

    @staticmethod
    def obstacle(device: torch.device) -> str | None:
        return None

    def settle(self) -> None:
        pass

    def capture(self, run: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        kind, random, recorder = type(self), torch.get_rng_state(), Recorder()
        try:
            with recorder:
                result = run()
        finally:
            with torch.no_grad():
                recorder.undo()
            torch.set_rng_state(random)
        kind.captured += 1

        def replay() -> None:
            kind.replayed += 1
            recorder.replay()

        return replay, result


class BatchStandIn(StandIn):
    """The same for making batches, with its own counts."""

    captured = 0
    replayed = 0
