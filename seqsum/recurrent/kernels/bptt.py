"""Backward through time (Werbos, 1990): the loop over the steps, which RNN, LSTM and GRU share.

Forwards, each step runs the equations of its cell and keeps what the derivatives need. Backwards, the loop goes from
the last step to the first. A state acts on its own step's output and on the next state, so its gradient is a sum of
two. All steps share their weights, so the gradient of a weight is a sum over the steps. It is computed at the end, as
one product of matrices that hold all steps side by side.

The tensors of a step are `(units, B)`: the products then read `W_hh @ hidden`, as in the papers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from seqsum.recurrent.cells import PackedCell
from seqsum.recurrent.kernels.autograd import Given, Gradients, Kernel, Results, Saved, with_zeros

State = Sequence[Tensor]  # (S, B) each: the hidden state, and the LSTM's cell state


class Derivatives(NamedTuple):
    """Gradients of the loss with respect to what a step has read.

    Attributes:
        projected: `(G·H, B)`.
        products: For each `W @ x` with a recurrent weight, by the weight's name: its gradient `(R, B)`, and x `(S, B)`.
        last: The state before the step.
    """

    projected: Tensor
    products: Mapping[str, tuple[Tensor, Tensor]]
    last: State


class Step(ABC):
    """The equations of one step. `d_x` is the gradient of the loss with respect to x, in the shape of x.

    Args:
        cell: The cell.
        given: Its weights, and the dropout.
    """

    def __init__(self, cell: PackedCell, given: Given) -> None:
        self.cell = cell
        self.weight_hh, self.weight_hr = given.weight_hh, given.weight_hr  # (G·H, P), (P, H)
        zero = given.weight_hh.new_zeros(len(given.weight_hh))
        biases = (zero if bias is None else bias for bias in (given.bias_ih, given.bias_hh))
        self.bias_ih, self.bias_hh = (bias.unsqueeze(1) for bias in biases)  # (G·H, 1)
        self.dropout = None if given.dropout is None else given.dropout.t()  # (P, B)

    def bias(self) -> Tensor:
        """The bias `b` of the projected inputs, `(G·H, 1)`."""
        return self.bias_ih + self.bias_hh

    def drop(self, hidden: Tensor) -> Tensor:
        """Recurrent dropout, `(P, B)`; the same function is its derivative."""
        return hidden if self.dropout is None else hidden * self.dropout

    @abstractmethod
    def forward(self, projected: Tensor, last: State) -> tuple[Tensor, State, State]:
        """`W_ih x + b`, `(G·H, B)`, and the last state -> output `(O, B)`, new state, tensors for `backward`."""

    @abstractmethod
    def backward(self, kept: State, last: State, d_output: Tensor, d_state: State) -> Derivatives:
        """The tensors of `forward`, the last state, gradients of output and new state -> gradients of the rest."""


class BackwardThroughTime(Kernel):
    """All steps of a cell, forwards and backwards. Subclasses name the step."""

    step: ClassVar[type[Step]]

    def forward(self, given: Given, keep: bool) -> tuple[Results, Saved]:
        step = self.step(self.cell, given)
        projected = _project(given, step.bias()).unbind(0)  # T of (G·H, B)
        outputs = list(projected)  # to be replaced
        saved: list[Tensor] = []
        state: State = [s.t() for s in given.initial()]
        for t in self.order(given):
            output, new, kept = step.forward(projected[t], state)
            if keep:
                saved += [*kept, *state]
            outputs[t] = _without_masked(given, t, [output])[0].t()
            state = _carry_masked(given, t, new, state)
        final = [s.t().clone(memory_format=torch.contiguous_format) for s in state]  # which the user may change
        return (torch.stack(outputs), final[0], final[1] if len(final) > 1 else None), saved

    def backward(
        self, given: Given, saved: Saved, d_results: Sequence[Tensor | None], needed: Mapping[str, bool]
    ) -> Gradients:
        step, order = self.step(self.cell, given), self.order(given)
        # contiguous: operations on a transposed tensor take twice as long
        d_outputs, *d_state = (d.transpose(-2, -1).contiguous() for d in with_zeros(given, d_results))
        d_output_at, found = d_outputs.unbind(0), {}
        size, num_states = len(saved) // len(order), len(d_state)
        for k, t in reversed(list(enumerate(order))):
            tensors = saved[k * size : (k + 1) * size]
            d_output, *d_new = _without_masked(given, t, [d_output_at[t], *d_state])
            found[t] = step.backward(tensors[:-num_states], tensors[-num_states:], d_output, d_new)
            d_state = _carry_masked(given, t, found[t].last, d_state)
        states = zip(("hidden", "cell_state"), d_state, strict=False)
        d_initial = {name: d.t().contiguous() for name, d in states if needed[name]}
        return {**d_initial, **_sum_over_steps(given, [found[t] for t in sorted(found)], needed)}

    def order(self, given: Given) -> Sequence[int]:
        """The steps in the order in which they are taken."""
        steps = range(len(given.inputs))
        return steps[::-1] if self.reverse else steps


def _project(given: Given, bias: Tensor) -> Tensor:
    """`W_ih x + b` of all steps, `(T, G·H, B)`."""
    steps = len(given.inputs)
    weights = given.weight_ih.expand(steps, -1, -1)
    return torch.baddbmm(bias.expand(steps, -1, -1), weights, given.inputs.transpose(1, 2))


def _without_masked(given: Given, t: int, tensors: State) -> State:
    """Zeros for the rows that the mask leaves out of this step: it gives them no output, and no gradient."""
    return tensors if given.mask is None else [tensor.masked_fill(~given.mask[t], 0) for tensor in tensors]


def _carry_masked(given: Given, t: int, new: State, old: State) -> list[Tensor]:
    """The old state, or its gradient, for the rows that the mask leaves out of this step."""
    if given.mask is None:
        return list(new)
    return [torch.where(given.mask[t], ours, theirs) for ours, theirs in zip(new, old, strict=True)]


def _sum_over_steps(given: Given, steps: Sequence[Derivatives], needed: Mapping[str, bool]) -> Gradients:
    """Gradients of inputs, weights and biases: for `W @ x` the sum of `d_product @ xᵀ` over all steps."""
    d_projected = torch.cat([step.projected for step in steps], dim=1)  # (G·H, T·B)
    gradients = {"bias_ih": d_projected.sum(1)}
    if needed["inputs"]:
        gradients["inputs"] = (d_projected.t() @ given.weight_ih).view(given.inputs.shape)
    if needed["weight_ih"]:
        gradients["weight_ih"] = d_projected @ given.inputs.flatten(0, 1)
    for name in steps[0].products:
        d_products, read = zip(*(step.products[name] for step in steps), strict=True)
        shared = d_products[0] is steps[0].projected  # what was added has one gradient
        d_product = d_projected if shared else torch.cat(d_products, dim=1)  # (R, T·B)
        gradients[name] = d_product @ torch.cat(read, dim=1).t()
        if name == "weight_hh":
            gradients["bias_hh"] = gradients["bias_ih"] if shared else d_product.sum(1)
    return gradients


def tanh(x: Tensor) -> Tensor:
    """On a CPU as `2 σ(2 x) - 1`, which takes half the time; not in 16 bits, for which it is too coarse."""
    return (2 * x).sigmoid_().mul_(2).sub_(1) if x.is_cpu and x.dtype.itemsize >= 4 else torch.tanh(x)


def d_sigmoid(d_gate: Tensor, gate: Tensor) -> Tensor:
    """`d_gate * gate * (1 - gate)`: the gradient of x where `gate = σ(x)`."""
    return torch.ops.aten.sigmoid_backward(d_gate, gate)


def d_tanh(d_gate: Tensor, gate: Tensor) -> Tensor:
    """`d_gate * (1 - gate²)`: the gradient of x where `gate = tanh(x)`."""
    return torch.ops.aten.tanh_backward(d_gate, gate)
