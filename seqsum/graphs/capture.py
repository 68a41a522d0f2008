"""Captures the parts of a training step as CUDA graphs, for batches of one shape."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from seqsum.chance import HostChance
from seqsum.data.base import Batch
from seqsum.graphs.averaging import PackedGradients
from seqsum.objectives.metrics import Sums

Result = TypeVar("Result")
MeanLoss = tuple[Tensor, Tensor]  # the mean loss of a batch, and how many terms it is the mean of
Places = Sequence[tuple[Tensor, Tensor]]  # total and count of each metric


class Captures:
    """Captures functions as CUDA graphs that share one memory pool.

    Sharing is safe: the graphs of a step run one after another, and no step reads what another one left, except for
    tensors that are still referenced, which keep their memory. When all graphs are dropped, the next ones get another
    pool, since torch captures nothing more into one whose last graph is gone.
    """

    def __init__(self) -> None:
        self.pool: Any = None
        self.graphs = weakref.WeakSet[torch.cuda.CUDAGraph]()  # that are not dropped
        self.stream = _stream(torch.cuda.current_device())

    @staticmethod
    def obstacle(device: torch.device) -> str | None:
        """Say why a device can't run CUDA graphs; None if it can."""
        return None if device.type == "cuda" else f"the device is {device}"

    def settle(self) -> None:
        """Prepare for a capture: finish running work and free old autograd graphs.

        While an autograd graph is alive, the gradients of its weights accumulate on the stream that it was made on,
        which can't be captured if it is the default one. DDP keeps graphs alive, on a stream of its own, which joins
        the capture.
        """
        gc.collect()
        torch.cuda.synchronize()
        torch.cuda.empty_cache()

    def capture(self, run: Callable[[], Result]) -> tuple[Callable[[], None], Result]:
        """Record the kernels that `run` launches, without executing them.

        Returns:
            A function that executes the recorded kernels on the same memory, and the result of `run`: tensors that
            each execution overwrites.

        Raises:
            RuntimeError: `run` does something that can't be captured, such as waiting for the device.
        """
        graph = torch.cuda.CUDAGraph()
        if not self.graphs:
            self.pool = torch.cuda.graph_pool_handle()
        with torch.cuda.stream(self.stream):
            try:
                # other threads, such as a loader's, may use the device meanwhile
                graph.capture_begin(pool=self.pool, capture_error_mode="thread_local")
                result = run()
                graph.capture_end()
            except BaseException:
                _abandon(graph, self.pool)
                raise
        self.graphs.add(graph)
        return graph.replay, result


@cache
def _stream(device: int) -> torch.cuda.Stream:
    """Make the stream to capture on, once per device: cuBLAS keeps memory per stream; the default can't be captured."""
    return torch.cuda.Stream(device)


def _abandon(graph: torch.cuda.CUDAGraph, pool: Any) -> None:
    """Leave a failed capture, so that the device can be used again."""
    with suppress(RuntimeError):  # it repeats that the capture failed
        graph.capture_end()
    # Before torch 2.12 that left the allocator in capture mode (pytorch#180395), in which it keeps all that DDP frees.
    if end := getattr(torch._C, "_cuda_endAllocateToPool", None):
        with suppress(RuntimeError):  # it was not
            end(torch.cuda.current_device(), pool)
    generator = torch.cuda.default_generators[torch.cuda.current_device()]
    # the generator may stay in capture mode and fail to draw (pytorch#171263); a copy of its state does not
    generator.graphsafe_set_state(generator.clone_state())


def _place_like(tensor: Tensor) -> Tensor:
    """Copy a tensor with its strides: libraries choose algorithms, and so roundings, by strides."""
    if any(stride == 0 for stride in tensor.stride()):  # expanded: elements share memory
        return tensor.clone()
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=tensor.device).copy_(tensor)


class Parts(NamedTuple):
    """The parts of a training step.

    Attributes:
        forward: Computes the mean loss of a batch.
        backward: Computes the weights' gradients from this loss, multiplied by a scalar.
        clip: Clips these gradients; None for no clipping.
    """

    forward: Callable[[Batch], MeanLoss]
    backward: Callable[[Tensor, Tensor], None]
    clip: Callable[[], None] | None


@contextmanager
def without_draws(others: Iterable[Any] = ()) -> Iterator[None]:
    """Refuse a capture that draws random numbers on the host; if that or anything else fails, take the draws back.

    Args:
        others: See `HostChance`.

    Raises:
        RuntimeError: Some were drawn.
    """
    chance = HostChance(others)
    try:
        yield
        if chance.has_moved():
            raise RuntimeError("random numbers are drawn on the host, and a graph would keep them")
    except BaseException:
        chance.put_back()
        raise


class CapturedStep:
    """The parts of a training step, captured one by one, so that hooks between them see what they always see.

    The optimizer's step is not captured. A graph would keep the learning rate and the momentum of its capture, but
    OneCycleLR changes both in every step; fused AdamW takes a tensor for the former but not for the latter. Without a
    graph it is two launches.

    Args:
        captures: Makes the graphs.
        parts: Parts to capture; they are not executed.
        batch: A batch with the shapes and types of all later batches.
        weights: All weights of the module, also frozen ones: clipping must not see gradients that they had before.
        metrics, places: The metrics that `forward` updates, and the tensors of their sums, see `Sums.keep_in`.
        packed: Takes the gradients of each backward pass, to average them over processes; None for one process.

    Raises:
        RuntimeError: A part can't be captured. Weights, gradients and metrics are restored.
    """

    def __init__(
        self,
        captures: Captures,
        parts: Parts,
        batch: Batch,
        weights: Sequence[nn.Parameter],
        metrics: Sequence[Sums],
        places: Places,
        packed: PackedGradients | None,
    ) -> None:
        self.batch = batch.map(_place_like)
        self.metrics, self.places, self.packed = metrics, places, packed
        gradients, updates = [weight.grad for weight in weights], [metric.update_count for metric in metrics]
        captures.settle()
        try:
            for weight in weights:
                weight.grad = None  # backward then puts each gradient into a tensor of its own
            self._forward, (loss, terms) = captures.capture(lambda: parts.forward(self.batch))
            self.loss_weight = torch.ones_like(loss, requires_grad=False)
            self._backward, _ = captures.capture(lambda: self._run_backward(parts, loss))
            if packed:
                packed.give_views()
            self.gradients = [(weight, weight.grad) for weight in weights]
            self._clip = captures.capture(parts.clip)[0] if parts.clip else None
        finally:
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.grad = gradient
            for metric, place, count in zip(metrics, places, updates, strict=True):
                metric.total, metric.count = place
                metric.set_updates(count)
        self.mean_loss = loss.detach(), terms

    def _run_backward(self, parts: Parts, loss: Tensor) -> None:
        parts.backward(loss, self.loss_weight)
        if self.packed:
            self.packed.pack()

    def forward(self, batch: Batch) -> MeanLoss:
        """Compute a batch's mean loss and update the metrics. The next step overwrites the number of terms."""
        for kept, tensor in zip(self.batch, batch, strict=True):
            if kept is not None and tensor is not None:
                kept.copy_(tensor, non_blocking=True)
        for metric, place in zip(self.metrics, self.places, strict=True):
            metric.keep_in(place)
            metric.set_updates(metric.update_count + 1)
        self._forward()
        loss, terms = self.mean_loss
        return loss.clone(), terms

    def weigh(self, weight: Tensor) -> None:
        """Set the weight of this process's loss among those of all processes, before the backward pass."""
        self.loss_weight.copy_(weight)

    def backward(self) -> None:
        """Compute the gradients and assign them to the weights; those of several processes are not averaged yet."""
        self._backward()
        for weight, gradient in self.gradients:
            weight.grad = gradient

    def clip(self) -> bool:
        """Clip the gradients; return False if there is no clipping or if some were replaced after `backward`."""
        if self._clip is None or any(weight.grad is not gradient for weight, gradient in self.gradients):
            return False
        self._clip()
        return True
