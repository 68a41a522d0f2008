"""One way for every kernel into autograd: all steps of a cell as one operation, its gradients written by hand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqsum.recurrent.cells import PackedCell, with_weights
from seqsum.recurrent.unroll import Unroll, leave_out

Run = Callable[[Any, Tensor, list[Tensor], Tensor | None, bool], tuple[Tensor, list[Tensor]]]
Results = tuple[Tensor, Tensor, Tensor | None]  # outputs (T, B, O), final hidden state (B, P), final cell state (B, H)
Saved = Sequence[Any]  # tensors, and None
Gradients = Mapping[str, Tensor | None]


class Given(NamedTuple):
    """The tensors that a kernel runs on, by the names that their gradients have too.

    Attributes:
        inputs: `(T, B, F)`; `(T, B, G·H)` if they are projected already.
        mask: `(T, B)` bool, see `Unroll.forward`.
        hidden, cell_state: The initial state, `(B, P)` and the LSTM's `(B, H)`.
        dropout: What the gates see of the hidden state, `(B, P)`, zeros and 1 / (1 - p).
        weight_ih, …: The cell's parameters; None where it has none, or where the kernel doesn't read it.
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
        """The initial state."""
        return [self.hidden] if self.cell_state is None else [self.hidden, self.cell_state]


def with_zeros(given: Given, d_results: Sequence[Tensor | None]) -> list[Tensor]:
    """Gradients of outputs and final states, zeros for those that are None; `O` is the size of the hidden state."""
    d_outputs, *d_final = d_results
    if d_outputs is None:
        d_outputs = given.hidden.new_zeros(len(given.inputs), *given.hidden.shape)
    states = zip(given.initial(), d_final, strict=False)  # the LSTM alone has two
    return [d_outputs, *(torch.zeros_like(state) if d is None else d for state, d in states)]


class Kernel(ABC):
    """All steps of a cell over one batch: forwards, and backwards through time.

    Made anew for every call, so that `forward` may leave for `backward` what is no tensor.

    Args:
        cell: Whose steps to take.
        reverse: Start with the last one.

    Attributes:
        weights: Those parameters of the cell that it reads.
        projects: Whether it takes the inputs as they are; otherwise `cell.project` comes before it.
    """

    weights: Sequence[str] = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    projects = True

    def __init__(self, cell: PackedCell, reverse: bool) -> None:
        self.cell = cell
        self.reverse = reverse

    @abstractmethod
    def forward(self, given: Given, keep: bool) -> tuple[Results, Saved]:
        """Outputs and final states, and, if asked to keep it, what `backward` needs."""

    @abstractmethod
    def backward(
        self, given: Given, saved: Saved, d_results: Sequence[Tensor | None], needed: Mapping[str, bool]
    ) -> Gradients:
        """Gradients by the names in `given`, from those of the results, None where there is none.

        Args:
            given, saved: What `forward` got and gave.
            d_results: Gradients of the results.
            needed: Those to be found; others may be left out.
        """


def run_kernel(
    kernel_class: Callable[[Any, bool], Kernel],
    cell: PackedCell,
    inputs: Tensor,
    state: list[Tensor],
    mask: Tensor | None = None,
    reverse: bool = False,
) -> tuple[Tensor, list[Tensor]]:
    """The same as `Unroll(cell)(inputs, state, mask, reverse)`, by a kernel."""
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
    """A kernel as an operation of autograd, the only one there is."""

    @staticmethod
    def forward(ctx: Any, kernel: Kernel, *given: Any) -> Results:
        results, saved = kernel.forward(Given(*given), keep=any(ctx.needs_input_grad))
        ctx.kernel = kernel
        ctx.save_for_backward(*given, *saved)
        ctx.set_materialize_grads(False)  # a kernel need not read gradients of zero
        return results

    @staticmethod
    def backward(ctx: Any, *d_results: Tensor | None) -> tuple[Tensor | None, ...]:
        needed = dict(zip(Given._fields, ctx.needs_input_grad[1:], strict=True))
        if all(gradient is None for gradient in d_results):
            return None, *(None for _ in needed)
        tensors = ctx.saved_tensors  # asked for once: under checkpointing each one is computed again
        given, saved = Given(*tensors[: len(needed)]), tensors[len(needed) :]
        if wants_plain_loop(d_results):
            gradients = differentiable_gradients(ctx.kernel, given, d_results)
        else:
            gradients = ctx.kernel.backward(given, saved, d_results, needed)
        return None, *(gradients.get(name) if wanted else None for name, wanted in needed.items())


def wants_plain_loop(d_results: Sequence[Tensor | None]) -> bool:
    """Whether a backward pass has to be made of torch's own operations, see `differentiable_gradients`.

    It does if its result is to be differentiated again, or if the gradients are a batch of them that looks like a
    single one (`is_grads_batched`, `jacobian(vectorize=True)`, `torch.func.vmap`).
    """
    functorch = torch._C._functorch  # there is no public way to ask
    return torch.is_grad_enabled() or any(
        gradient is not None and (functorch.is_batchedtensor(gradient) or functorch.is_legacy_batchedtensor(gradient))
        for gradient in d_results
    )


def differentiable_gradients(kernel: Kernel, given: Given, d_results: Sequence[Tensor | None]) -> Gradients:
    """What a kernel's `backward` gives, but by torch's own operations: the gradients of the plain loop.

    They are differentiable where gradients are enabled, and may come in batches. Both are rare, so they are worth
    no second page of equations.
    """
    differentiable = torch.is_grad_enabled()
    wanted = {name: tensor for name, tensor in given._asdict().items() if tensor is not None and tensor.requires_grad}
    with torch.enable_grad():
        results = zip(_plain_loop(kernel, given), d_results, strict=False)  # an RNN has two of three
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
    """Outputs and final states, by the loop in Python with the weights that were given."""
    weights = {name: weight for name in kernel.weights if (weight := getattr(given, name)) is not None}
    unroll = Unroll(with_weights(kernel.cell, weights))
    loop = unroll if kernel.projects else unroll.loop
    state = [tensor for tensor in (given.hidden, given.cell_state, given.dropout) if tensor is not None]
    known = leave_out(given.inputs, given.mask)  # which a kernel does not read behind a mask
    outputs, final = loop(known, state, given.mask, kernel.reverse)
    return [outputs, *final]
