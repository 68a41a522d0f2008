"""A training step's parts as CUDA graphs, for batches of one shape."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from seqsum.data.base import Batch
from seqsum.objectives.metrics import Sums

Result = TypeVar("Result")
Losses = tuple[Tensor, Tensor]  # what is differentiated, and the mean over all processes
Places = Sequence[tuple[Tensor, Tensor]]  # total and count of each metric


class Captures:
    """Captures functions as CUDA graphs that share one pool of memory.

    They may share it: graphs of one step run one after another, and what one step leaves no other reads, but for
    tensors that somebody holds, and these keep their memory.
    """

    def __init__(self) -> None:
        self.pool = torch.cuda.graph_pool_handle()
        self.stream = _stream(torch.cuda.current_device())

    @staticmethod
    def obstacle(device: torch.device) -> str | None:
        """Why there can be no graphs on a device; None if there can."""
        return None if device.type == "cuda" else f"the device is {device}"

    def settle(self) -> None:
        """Before a capture: finish what is under way, and let old graphs of autograd go.

        As long as one is alive, the gradients of its weights are added up on the stream that it was made on.
        """
        gc.collect()
        torch.cuda.synchronize()
        torch.cuda.empty_cache()

    def capture(self, run: Callable[[], Result]) -> tuple[Callable[[], None], Result]:
        """Record what `run` launches, without executing it.

        Returns:
            A function that executes what was recorded, on the same memory, and what `run` returned: tensors that
            each execution writes to.

        Raises:
            RuntimeError: `run` does what can't be captured, such as waiting for the device.
        """
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.stream(self.stream):
            try:
                # other threads, such as a loader's, may go on using the device
                graph.capture_begin(pool=self.pool, capture_error_mode="thread_local")
                result = run()
                graph.capture_end()
            except BaseException:
                _abandon(graph)
                raise
        return graph.replay, result


@cache
def _stream(device: int) -> torch.cuda.Stream:
    """The stream to capture on, since the default one can't be: one for good, as cuBLAS keeps memory for each."""
    return torch.cuda.Stream(device)


def _abandon(graph: torch.cuda.CUDAGraph) -> None:
    """Leave a capture that has failed, so that the device can be used again."""
    with suppress(RuntimeError):  # which says once more that it has failed
        graph.capture_end()
    generator = torch.cuda.default_generators[torch.cuda.current_device()]
    # it may go on thinking that it is captured, and draw nothing any more (pytorch#171263); a copy does not
    generator.graphsafe_set_state(generator.clone_state())


def _place_like(tensor: Tensor) -> Tensor:
    """A copy with the same strides, by which libraries choose how they compute, and so how they round."""
    if any(stride == 0 for stride in tensor.stride()):  # expanded: its elements share their places
        return tensor.clone()
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=tensor.device).copy_(tensor)


class Parts(NamedTuple):
    """What a training step does.

    Attributes:
        forward: From a batch to its losses.
        backward: From the loss to the gradients of the weights.
        clip: Clips these gradients; None where they stay as they are.
    """

    forward: Callable[[Batch], Losses]
    backward: Callable[[Tensor], None]
    clip: Callable[[], None] | None


class CapturedStep:
    """The parts of a training step, captured one by one: hooks between them find what they always find.

    The optimizer's step is not among them. A graph would keep the learning rate and the momentum of its capture,
    and OneCycleLR changes both in every step; fused AdamW takes a tensor for the first, but not for the second.
    Without a graph it is two launches.

    Args:
        captures: Makes the graphs.
        parts: What to capture. Nothing of it is executed.
        batch: Of the shapes and types of those to come.
        weights: Of the optimizer, frozen ones too: a gradient that one had before must not be clipped with the others.
        metrics, places: What `forward` updates, and where their sums are, see `Sums.keep_in`.

    Raises:
        RuntimeError: A part can't be captured. Weights, gradients and metrics are as before.
    """

    def __init__(
        self,
        captures: Captures,
        parts: Parts,
        batch: Batch,
        weights: Sequence[nn.Parameter],
        metrics: Sequence[Sums],
        places: Places,
    ) -> None:
        self.batch = batch.map(_place_like)
        self.metrics, self.places = metrics, places
        gradients, updates = [weight.grad for weight in weights], [metric.update_count for metric in metrics]
        captures.settle()
        try:
            for weight in weights:
                weight.grad = None  # backward then puts each gradient into a tensor of its own
            self._forward, (loss, mean_loss) = captures.capture(lambda: parts.forward(self.batch))
            self._backward, _ = captures.capture(lambda: parts.backward(loss))
            self.gradients = [(weight, weight.grad) for weight in weights]
            self._clip = captures.capture(parts.clip)[0] if parts.clip else None
        finally:
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.grad = gradient
            for metric, place, count in zip(metrics, places, updates, strict=True):
                metric.total, metric.count = place
                metric.set_updates(count)
        self.losses = loss.detach(), mean_loss.detach()

    def forward(self, batch: Batch) -> Losses:
        """A batch's losses; of the first the next step will write over the value. Metrics are updated."""
        for kept, tensor in zip(self.batch, batch, strict=True):
            if kept is not None and tensor is not None:
                kept.copy_(tensor, non_blocking=True)
        for metric, place in zip(self.metrics, self.places, strict=True):
            metric.keep_in(place)
            metric.set_updates(metric.update_count + 1)
        self._forward()
        return self.losses[0], self.losses[1].clone()

    def backward(self) -> None:
        """Give the weights their gradients."""
        self._backward()
        for weight, gradient in self.gradients:
            weight.grad = gradient

    def clip(self) -> bool:
        """Clip these gradients; False if some have been replaced by others, which the graph knows nothing of."""
        if self._clip is None or any(weight.grad is not gradient for weight, gradient in self.gradients):
            return False
        self._clip()
        return True
