"""The kernels as a differentiable function of torch's tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seqsum.recurrent.cells import PackedCell
from seqsum.recurrent.kernels.common import after, before, differentiable_gradients
from seqsum.recurrent.kernels.triton.equations import NUM_KEPT
from seqsum.recurrent.kernels.triton.launch import (
    INTERPRETED,
    Backward,
    Call,
    Forward,
    find_plan,
    run_backward,
    run_forward,
    state_type,
)

Kept = tuple[Tensor | None, Tensor | None, Tensor | None]  # gates, all hidden states, all cell states


def unroll_triton(
    name: str, cell: PackedCell, inputs: Tensor, state: list[Tensor], mask: Tensor | None = None, reverse: bool = False
) -> tuple[Tensor, list[Tensor]]:
    """The same as `Unroll(cell)(inputs, state, mask, reverse)` for the cell of this name, on a GPU."""
    number = len(cell.state_size)
    hidden, memory = (*state[:number], None)[:2]
    dropout = (*state[number:], None)[0]
    bias = cell.bias_hh if name == "gru" else None  # the others' is in the projection
    call, mask = Call(name, cell, reverse), _contiguous(mask)
    tensors: Any = cell.project(inputs).contiguous(), hidden, memory, dropout, cell.weight_hh, bias
    if torch.is_grad_enabled():
        results = _UnrollTriton.apply(call, mask, *tensors)
    else:
        results, _ = _forward(call, mask, *tensors, keep=False)
    return results[0], [*results[1 : 1 + number], *state[number:]]


class _UnrollTriton(torch.autograd.Function):
    """Of the equations in `equations.py`. The projection of the inputs is torch's, and so is its gradient."""

    @staticmethod
    def forward(ctx: Any, call: Call, mask: Tensor | None, *tensors: Any) -> tuple[Tensor | None, ...]:
        results, kept = _forward(call, mask, *tensors, keep=any(ctx.needs_input_grad))
        ctx.call = call
        ctx.save_for_backward(mask, *tensors, *kept)
        ctx.set_materialize_grads(False)
        return results

    @staticmethod
    def backward(ctx: Any, *d_results: Any) -> tuple[Tensor | None, ...]:
        mask, *tensors = ctx.saved_tensors
        given, kept = tensors[:6], tensors[6:]
        if all(gradient is None for gradient in d_results):
            return (None,) * 8
        if torch.is_grad_enabled():
            return None, None, *_differentiable(ctx.call, mask, given, d_results)
        return None, None, *_backward(ctx.call, mask, given, kept, d_results, ctx.needs_input_grad[2:])


def _forward(
    call: Call,
    mask: Tensor | None,
    projected: Tensor,
    initial_hidden: Tensor,
    initial_memory: Tensor | None,
    dropout: Tensor | None,
    weight_hh: Tensor,
    bias_hh: Tensor | None,
    *,
    keep: bool,
) -> tuple[tuple[Tensor | None, Tensor, Tensor | None], Kept]:
    """Outputs and final states, and what the backward pass needs, if it is to be kept."""
    length, batch, _ = projected.shape
    size, empty = initial_hidden.shape[1], initial_hidden.new_empty
    weight = _multiplied(weight_hh, projected)
    found = find_plan(call, "forward", weight, batch)
    needs_hiddens = keep or found is None or not found.alone
    hiddens = projected.new_empty(length + 1, batch, size) if needs_hiddens else None
    # one copy of all hidden states takes less time than to write each of them twice
    are_outputs = mask is None and call.outputs_hidden and projected.dtype == initial_hidden.dtype
    tensors = Forward(
        weight=weight,
        bias=_contiguous(bias_hh),
        mask=None if mask is None else mask.view(torch.uint8),
        dropout=_contiguous(dropout),
        projected=projected,
        initial_hidden=initial_hidden.contiguous(),
        initial_memory=_contiguous(initial_memory),
        kept=projected.new_empty(length, batch, NUM_KEPT[call.name] * size) if keep and NUM_KEPT[call.name] else None,
        hiddens=hiddens,
        memories=empty(length + 1, batch, size, dtype=state_type(projected)) if keep and call.name == "lstm" else None,
        outputs=None if needs_hiddens and are_outputs else empty(length, batch, size),
        final_hidden=empty(batch, size),
        final_memory=None if initial_memory is None else empty(batch, size),
    )
    if batch > 0:
        run_forward(call, found, tensors)
    outputs = tensors.outputs
    if outputs is None and hiddens is not None:
        outputs = after(hiddens, call.reverse).clone()  # which the user may change
    return (outputs, tensors.final_hidden, tensors.final_memory), (tensors.kept, hiddens, tensors.memories)


def _backward(
    call: Call,
    mask: Tensor | None,
    given: list[Tensor],
    kept: list[Tensor],
    d_results: tuple[Tensor | None, ...],
    needed: tuple[bool, ...],
) -> tuple[Tensor | None, ...]:
    """Gradients of projected inputs, hidden, cell state, dropout, weight and bias, None where there is none."""
    projected, initial_hidden, _, dropout, weight_hh, bias_hh = given
    gates, hiddens, memories = kept
    d_outputs, d_hidden, d_memory = map(_contiguous, d_results)
    weight, shape = _multiplied(weight_hh, projected), initial_hidden.shape
    d_recurrent = torch.empty_like(projected)
    tensors = Backward(
        weight=weight,
        mask=None if mask is None else mask.view(torch.uint8),
        dropout=_contiguous(dropout),
        kept=gates,
        states=hiddens if memories is None else memories,
        d_outputs=d_outputs,
        d_final_hidden=d_hidden,
        d_final_memory=d_memory,
        d_projected=torch.empty_like(projected) if call.name == "gru" else d_recurrent,
        d_recurrent=d_recurrent,
        d_initial_hidden=initial_hidden.new_empty(shape) if needed[1] else None,
        d_initial_memory=initial_hidden.new_empty(shape) if needed[2] else None,
    )
    if shape[0] > 0:
        run_backward(call, find_plan(call, "backward", weight, shape[0]), tensors)
    d_weight = d_bias = None
    if needed[4]:
        recurrent = before(hiddens, call.reverse)
        recurrent = recurrent if dropout is None else (recurrent * dropout).to(d_recurrent)
        d_weight = (d_recurrent.flatten(0, 1).t() @ recurrent.flatten(0, 1)).to(weight_hh)
    if needed[5]:
        d_bias = d_recurrent.sum((0, 1)).to(bias_hh)
    return tensors.d_projected, tensors.d_initial_hidden, tensors.d_initial_memory, None, d_weight, d_bias


def _differentiable(
    call: Call, mask: Tensor | None, given: list[Tensor], d_results: tuple[Tensor | None, ...]
) -> tuple[Tensor | None, ...]:
    projected, hidden, memory, dropout, weight_hh, bias_hh = given
    likes = hidden.new_zeros(*projected.shape[:2], hidden.shape[1]), hidden, memory
    gradients = [
        torch.zeros_like(like) if gradient is None else gradient
        for like, gradient in zip(likes, d_results, strict=True)
        if like is not None
    ]
    weights = {"weight_hh": weight_hh, "bias_hh": bias_hh}
    state = hidden, memory, dropout
    return differentiable_gradients(call.cell, mask, call.reverse, projected, state, weights, gradients, projected=True)


def _multiplied(weight: Tensor, projected: Tensor) -> Tensor:
    """Recurrent weights as the kernels read them: contiguous, and of the type of the products."""
    weight = weight.to(projected.dtype).contiguous()
    if INTERPRETED and weight.dtype == torch.bfloat16:
        return weight.float()  # the interpreter would multiply the bits of bfloat16, as whole numbers
    return weight


def _contiguous(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous()
