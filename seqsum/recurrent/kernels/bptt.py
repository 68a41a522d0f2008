"""Backpropagation through time (Werbos, 1990): the loop over the steps that RNN, LSTM and GRU share.

Forwards, each step runs the equations of its cell and keeps what the derivatives need. Backwards, the loop goes from
the last step to the first. A state affects its own step's output and the next state, so its gradient is the sum of
two. All steps share the weights, so the gradient of a weight is a sum over the steps. It is computed at the end, as
one product of matrices that contain all steps.

The papers write `W_hh hidden` with a column vector. Here the states of a batch are rows, and it is `hidden @ W_hhᵀ`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from seqsum.recurrent.cells import PackedCell
from seqsum.recurrent.kernels.autograd import Given, Gradients, Kernel, Results, Saved, with_zeros

State = Sequence[Tensor]  # (B, S) each: the hidden state, and the LSTM's cell state
Kept = Sequence[Tensor]  # what `Step.backward` needs of `Step.forward`


class Derivatives(NamedTuple):
    """Gradients of the loss with respect to what a step reads.

    Attributes:
        projected: Gradient of the projected inputs, `(B, G·H)`.
        products: For each product `x @ Wᵀ`, by the name of the weight `W (R, S)`: the gradient of the product,
            `(B, R)`, and `x`, `(B, S)`.
        last: Gradient of the state before the step, `(B, S)` each.
    """

    projected: Tensor
    products: Mapping[str, tuple[Tensor, Tensor]]
    last: State


class Step(ABC):
    """Equations of one step. `d_x` is the gradient of the loss with respect to x and has the shape of x.

    Args:
        cell: The cell.
        given: Contains its weights and the dropout mask.
    """

    def __init__(self, cell: PackedCell, given: Given) -> None:
        self.cell = cell
        self.weight_hh, self.weight_hr = given.weight_hh, given.weight_hr  # (G·H, P), (P, H)
        zero = given.weight_hh.new_zeros(len(given.weight_hh))
        self.bias_ih = zero if given.bias_ih is None else given.bias_ih  # (G·H,)
        self.bias_hh = zero if given.bias_hh is None else given.bias_hh  # (G·H,)
        self.dropout = given.dropout  # (B, P)

    def bias(self) -> Tensor:
        """Return the bias `b` of the projected inputs, `(G·H,)`."""
        return self.bias_ih + self.bias_hh

    def drop(self, hidden: Tensor) -> Tensor:
        """Apply recurrent dropout to `(B, P)`; its derivative is the same function."""
        return hidden if self.dropout is None else hidden * self.dropout

    @abstractmethod
    def forward(self, projected: Tensor, last: State) -> tuple[Tensor, State, Kept]:
        """Run one step: `x W_ihᵀ + b (B, G·H)`, last state -> output `(B, O)`, new state, tensors for `backward`."""

    @abstractmethod
    def backward(self, kept: Kept, last: State, d_output: Tensor, d_state: State) -> Derivatives:
        """Differentiate one step, given the tensors of `forward` and the gradients of output and new state."""


class BackwardThroughTime(Kernel):
    """Run all steps of a cell, forwards and backwards. Subclasses set `step`."""

    step: ClassVar[type[Step]]

    def forward(self, given: Given, keep: bool) -> tuple[Results, Saved]:
        step = self.step(self.cell, given)
        projected = F.linear(given.inputs, given.weight_ih, step.bias()).unbind(0)  # T of (B, G·H)
        outputs = list(projected)  # each is replaced below
        saved: list[Tensor] = []
        state: State = given.initial()
        for t in self.order(given):
            output, new, kept = step.forward(projected[t], state)
            if keep:
                saved += [*kept, *state]
            if given.mask is not None:
                (output,), new = _leave_out(given.mask[t], [output]), _carry_over(given.mask[t], new, state)
            outputs[t], state = output, new
        final = [s.clone() for s in state]  # copied, so that in-place edits can't corrupt the backward pass
        return (torch.stack(outputs), final[0], final[1] if len(final) > 1 else None), saved

    def backward(
        self, given: Given, saved: Saved, d_results: Sequence[Tensor | None], needed: Mapping[str, bool]
    ) -> Gradients:
        step, order = self.step(self.cell, given), self.order(given)
        d_outputs, *d_final = with_zeros(given, d_results)
        d_output_at, found = d_outputs.unbind(0), {}
        d_state: State = d_final
        size, num_states = len(saved) // len(order), len(d_state)
        for k, t in reversed(list(enumerate(order))):
            tensors = saved[k * size : (k + 1) * size]
            kept, last, d_output, d_new = tensors[:-num_states], tensors[-num_states:], d_output_at[t], d_state
            if given.mask is not None:
                d_output, *d_new = _leave_out(given.mask[t], [d_output, *d_state])
            found[t] = step.backward(kept, last, d_output, d_new)
            d_state = found[t].last if given.mask is None else _carry_over(given.mask[t], found[t].last, d_state)
        states = zip(("hidden", "cell_state"), d_state, strict=False)
        d_initial = {name: d for name, d in states if needed[name]}
        return {**d_initial, **_sum_over_steps(given, [found[t] for t in sorted(found)], needed)}

    def order(self, given: Given) -> Sequence[int]:
        """Return the time steps in the order in which they run."""
        steps = range(len(given.inputs))
        return steps[::-1] if self.reverse else steps


def _leave_out(valid: Tensor, tensors: State) -> State:
    """Set masked rows to zero: in a step's outputs, and in the gradients that flow back into it."""
    return [tensor.masked_fill(~valid.unsqueeze(1), 0) for tensor in tensors]


def _carry_over(valid: Tensor, new: State, old: State) -> State:
    """Keep `old` for masked rows: the state before a step, or, backwards, the gradient of the state after it."""
    return [torch.where(valid.unsqueeze(1), ours, theirs) for ours, theirs in zip(new, old, strict=True)]


def _sum_over_steps(given: Given, steps: Sequence[Derivatives], needed: Mapping[str, bool]) -> Gradients:
    """Compute gradients of inputs, weights and biases; for `x @ Wᵀ`, sum `d_productᵀ @ x` over all steps."""
    d_projected = torch.cat([step.projected for step in steps])  # (T·B, G·H)
    gradients = {"bias_ih": d_projected.sum(0)}
    if needed["inputs"]:
        gradients["inputs"] = (d_projected @ given.weight_ih).view(given.inputs.shape)
    if needed["weight_ih"]:
        gradients["weight_ih"] = d_projected.t() @ given.inputs.flatten(0, 1)
    for name in steps[0].products:
        d_products, read = zip(*(step.products[name] for step in steps), strict=True)
        shared = d_products[0] is steps[0].projected  # the two were added, so they have the same gradient
        d_product = d_projected if shared else torch.cat(d_products)  # (T·B, R)
        gradients[name] = d_product.t() @ torch.cat(read)
        if name == "weight_hh":
            gradients["bias_hh"] = gradients["bias_ih"].clone() if shared else d_product.sum(0)
    return gradients


def d_sigmoid(d_gate: Tensor, gate: Tensor) -> Tensor:
    """Return the gradient of x where `gate = σ(x)`: `d_gate * gate * (1 - gate)`."""
    return torch.ops.aten.sigmoid_backward(d_gate, gate)


def d_tanh(d_gate: Tensor, gate: Tensor) -> Tensor:
    """Return the gradient of x where `gate = tanh(x)`: `d_gate * (1 - gate²)`."""
    return torch.ops.aten.tanh_backward(d_gate, gate)
