"""Connect every kernel to autograd: all steps of a cell are one operation with hand-written gradients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqsum.recurrent.alike import autocasts
from seqsum.recurrent.cells import PackedCell, with_weights
from seqsum.recurrent.checks import is_plain
from seqsum.recurrent.modes import saves_through_hooks
from seqsum.recurrent.unroll import Unroll, run_without_masked

Run = Callable[[Any, Tensor, list[Tensor], Tensor | None, bool], tuple[Tensor, list[Tensor]]]
Results = tuple[Tensor, Tensor, Tensor | None]  # outputs (T, B, O), final hidden state (B, P), final cell state (B, H)
Saved = Sequence[Any]  # tensors, and None
Gradients = Mapping[str, Tensor | None]


class Given(NamedTuple):
    """The tensors that a kernel runs on. Their gradients have the same names.

    Attributes:
        inputs: `(T, B, F)`; `(T, B, G·H)` if already projected.
        mask: `(T, B)` bool, see `Unroll.forward`.
        hidden, cell_state: Initial state, `(B, P)` and, for the LSTM, `(B, H)`.
        dropout: Recurrent dropout mask `(B, P)`, zeros and 1 / (1 - p).
        weight_ih, …: The cell's parameters; None if the cell doesn't have it or the kernel doesn't read it.
    """

    inputs: Tensor
    mask: Tensor | None
    hidden: Tensor
    cell_state: Tensor | None
    dropout: Tensor | None
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None
    weight_hr: Tensor | None

    def initial(self) -> list[Tensor]:
        """Return the initial state as a list."""
        return [self.hidden] if self.cell_state is None else [self.hidden, self.cell_state]


def with_zeros(given: Given, d_results: Sequence[Tensor | None]) -> list[Tensor]:
    """Replace gradients of outputs and final states that are None by zeros; outputs have the hidden state's size."""
    d_outputs, *d_final = d_results
    if d_outputs is None:
        d_outputs = given.hidden.new_zeros(len(given.inputs), *given.hidden.shape)
    states = zip(given.initial(), d_final, strict=False)  # only the LSTM has two
    return [d_outputs, *(torch.zeros_like(state) if d is None else d for state, d in states)]


class Kernel(ABC):
    """Base class for kernels, which run all steps of a cell over one batch, forwards and backwards.

    Every call makes a new kernel, so that `forward` can store values other than tensors for `backward`.

    Args:
        cell: The cell to run.
        reverse: Start with the last step.

    Attributes:
        weights: Names of the cell's parameters that the kernel reads.
        projects: Whether the kernel projects the inputs. Otherwise `cell.project` does so before it runs.
    """

    weights: Sequence[str] = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    projects = True

    def __init__(self, cell: PackedCell, reverse: bool) -> None:
        self.cell = cell
        self.reverse = reverse

    @abstractmethod
    def forward(self, given: Given, keep: bool) -> tuple[Results, Saved]:
        """Return outputs and final states, and, with `keep`, the tensors that `backward` needs."""

    @abstractmethod
    def backward(
        self, given: Given, saved: Saved, d_results: Sequence[Tensor | None], needed: Mapping[str, bool]
    ) -> Gradients:
        """Compute the gradients of the tensors in `given` and return them by name.

        Args:
            given, saved: The argument of `forward` and the tensors it saved.
            d_results: Gradients of the results, None where a result has none.
            needed: Whether each gradient is needed, by name; the others may be left out.
        """


def run_kernel(
    kernel_class: Callable[[Any, bool], Kernel],
    cell: PackedCell,
    inputs: Tensor,
    state: list[Tensor],
    mask: Tensor | None = None,
    reverse: bool = False,
) -> tuple[Tensor, list[Tensor]]:
    """Compute `Unroll(cell)(inputs, state, mask, reverse)` by a kernel."""
    kernel, number = kernel_class(cell, reverse), len(cell.state_size)
    hidden, cell_state = (*state[:number], None)[:2]
    dropout = (*state[number:], None)[0]
    inputs = inputs if kernel.projects else cell.project(inputs).contiguous()
    names = Given._fields[5:]
    weights = (getattr(cell, name) if name in kernel.weights else None for name in names)
    given = Given._make((inputs, mask, hidden, cell_state, dropout, *weights))
    results = AllSteps.apply(kernel, *given) if torch.is_grad_enabled() else kernel.forward(given, keep=False)[0]
    return results[0], [*results[1 : 1 + number], *state[number:]]


class AllSteps(torch.autograd.Function):
    """The autograd function of all kernels."""

    @staticmethod
    def forward(ctx: Any, kernel: Kernel, *given: Any) -> Results:
        results, saved = kernel.forward(Given(*given), keep=any(ctx.needs_input_grad))
        ctx.kernel = kernel
        # a hook may give back other tensors, and a kernel reads memory by address
        tensors = (*given, *saved)
        ctx.layouts = [None if each is None else Layout.of(each) for each in tensors] if saves_through_hooks() else None
        ctx.is_there = [each is not None for each in tensors]
        ctx.save_for_backward(*(each for each in tensors if each is not None))  # others read them, and expect tensors
        ctx.set_materialize_grads(False)  # so that a kernel needn't read gradients of zero
        return results

    @staticmethod
    def backward(ctx: Any, *d_results: Tensor | None) -> tuple[Tensor | None, ...]:
        needed = dict(zip(Given._fields, ctx.needs_input_grad[1:], strict=True))
        if all(gradient is None for gradient in d_results):
            return None, *(None for _ in needed)
        found = iter(ctx.saved_tensors)  # read once: under checkpointing each access recomputes them
        tensors: Sequence[Any] = [next(found) if is_there else None for is_there in ctx.is_there]
        differentiable = wants_plain_loop(d_results)
        if ctx.layouts is not None and not differentiable:
            pairs = zip(ctx.layouts, tensors, strict=True)
            tensors = [None if layout is None else layout.lay_out(each) for layout, each in pairs]
        given, saved = Given(*tensors[: len(needed)]), tensors[len(needed) :]
        device = given.inputs.device
        # the types are those of the forward pass, see `Recurrent._run`, also for a backward pass within autocast
        with torch.autocast(device.type, enabled=False) if autocasts(device) else nullcontext():
            if differentiable:
                gradients = differentiable_gradients(ctx.kernel, given, d_results)
            else:
                held = [None if each is None else in_memory(each) for each in d_results]
                gradients = ctx.kernel.backward(given, saved, held, needed)
        return None, *(gradients.get(name) if wanted else None for name, wanted in needed.items())


class Layout(NamedTuple):
    """How a tensor lies in memory."""

    shape: torch.Size
    strides: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device

    @classmethod
    def of(cls, tensor: Tensor) -> Layout:
        return cls(tensor.shape, tensor.stride(), tensor.dtype, tensor.device)

    def lay_out(self, tensor: Tensor) -> Tensor:
        """Return a tensor with this layout, and the values of the given one.

        Raises:
            RuntimeError: The given one is of another shape, type or device.
        """
        if (tensor.shape, tensor.dtype, tensor.device) != (self.shape, self.dtype, self.device):
            raise RuntimeError(
                f"a hook on saved tensors gave back {tuple(tensor.shape)} of {tensor.dtype} on {tensor.device} for "
                f"{tuple(self.shape)} of {self.dtype} on {self.device}"
            )
        tensor = in_memory(tensor)
        if tensor.stride() == self.strides:
            return tensor
        if 0 in self.strides:  # elements share memory
            return tensor.contiguous()
        return torch.empty_strided(self.shape, self.strides, dtype=self.dtype, device=self.device).copy_(tensor)


def in_memory(tensor: Tensor) -> Tensor:
    """Return a tensor whose values are what its memory holds, see `is_plain`."""
    if is_plain(tensor):
        return tensor
    dense = tensor if tensor.layout == torch.strided else tensor.to_dense()
    return torch.empty(dense.shape, dtype=dense.dtype, device=dense.device).copy_(dense)


def wants_plain_loop(d_results: Sequence[Tensor | None]) -> bool:
    """Whether the backward pass has to consist of torch operations, see `differentiable_gradients`.

    It has to if its result will be differentiated again (double backward), or if the gradients are batched tensors,
    which look like single ones (`is_grads_batched`, `jacobian(vectorize=True)`, `torch.func.vmap`).
    """
    functorch = torch._C._functorch  # there is no public way to ask
    return torch.is_grad_enabled() or any(
        gradient is not None and (functorch.is_batchedtensor(gradient) or functorch.is_legacy_batchedtensor(gradient))
        for gradient in d_results
    )


def differentiable_gradients(kernel: Kernel, given: Given, d_results: Sequence[Tensor | None]) -> Gradients:
    """Compute the gradients of a kernel's `backward` by differentiating the plain loop with autograd.

    The result is differentiable where gradients are enabled, and may be a batch of gradients. Both cases are rare, so
    no kernel has equations for them.
    """
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        # Views, at which the search for paths ends: one given tensor may have been computed from another.
        views: list[Any] = [None if tensor is None else tensor.view_as(tensor) for tensor in given]
        given = Given(*views)
        wanted = {name: each for name, each in given._asdict().items() if each is not None and each.requires_grad}
        results = zip(_plain_loop(kernel, given), d_results, strict=False)  # RNN and GRU have no cell state
        known = [(result, gradient) for result, gradient in results if gradient is not None]
        found = torch.autograd.grad(
            [result for result, _ in known],
            list(wanted.values()),
            [gradient for _, gradient in known],
            create_graph=differentiable,
            allow_unused=True,
        )
    return dict(zip(wanted, found, strict=True))


def _plain_loop(kernel: Kernel, given: Given) -> list[Tensor]:
    """Compute outputs and final states by the loop in Python, with the weights in `given`."""
    weights = {name: weight for name in kernel.weights if (weight := getattr(given, name)) is not None}
    unroll = Unroll(with_weights(kernel.cell, weights))
    loop = unroll if kernel.projects else unroll.loop
    state = [tensor for tensor in (given.hidden, given.cell_state, given.dropout) if tensor is not None]
    number = len(given.initial())
    outputs, final = run_without_masked(loop, number, given.inputs, state, given.mask, kernel.reverse)
    return [outputs, *final]
