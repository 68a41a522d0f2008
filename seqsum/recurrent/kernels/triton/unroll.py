"""Call the Triton kernels with torch's tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from seqsum.recurrent.cells import PackedCell
from seqsum.recurrent.kernels.autograd import Given, Gradients, Kernel, Results, Saved
from seqsum.recurrent.kernels.triton.compiled import INTERPRETED, Call
from seqsum.recurrent.kernels.triton.equations import NUM_KEPT
from seqsum.recurrent.kernels.triton.launch import (
    Backward,
    Forward,
    find_plan,
    product_precision,
    run_backward,
    run_forward,
    state_type,
)


class UnrollTriton(Kernel):
    """Run all steps on a GPU; `equations.py` contains the equations. torch projects the inputs beforehand.

    Args:
        name: Name of the cell in `equations.py`: "lstm", "gru" or "rnn".
        cell, reverse: See `Kernel`.
    """

    projects = False

    def __init__(self, name: str, cell: PackedCell, reverse: bool) -> None:
        super().__init__(cell, reverse)
        self.weights = ("weight_hh", "bias_hh") if name == "gru" else ("weight_hh",)  # else `project` adds the bias
        options = vars(cell)  # an LSTM has no nonlinearity, and a module takes long to say so
        variant = options.get("output_activation") == "identity" or options.get("nonlinearity") == "relu"
        self.call = Call(name, variant, reverse, product_precision(cell.weight_hh.dtype))

    def forward(self, given: Given, keep: bool) -> tuple[Results, Saved]:
        call, projected = self.call, given.inputs
        (length, batch, _), size, empty = projected.shape, given.hidden.shape[1], given.hidden.new_empty
        weight, has_cell_state = _multiplied(given.weight_hh, projected), given.cell_state is not None
        found = find_plan(call, "forward", weight, batch)
        needs_hiddens = keep or found is None or not found.alone
        hiddens = projected.new_empty(length + 1, batch, size) if needs_hiddens else None
        # copying all hidden states at the end takes less time than writing each of them twice
        are_outputs = given.mask is None and call.outputs_hidden and projected.dtype == given.hidden.dtype
        num_kept = NUM_KEPT[call.name] if keep else 0
        all_states = empty(length + 1, batch, size, dtype=state_type(projected)) if keep and has_cell_state else None
        tensors = Forward(
            weight=weight,
            bias=_contiguous(given.bias_hh),
            mask=_bytes(given.mask),
            dropout=_contiguous(given.dropout),
            projected=projected,
            initial_hidden=given.hidden.contiguous(),
            initial_cell_state=_contiguous(given.cell_state),
            kept=projected.new_empty(length, batch, num_kept * size) if num_kept else None,
            hiddens=hiddens,
            cell_states=all_states,
            outputs=None if needs_hiddens and are_outputs else empty(length, batch, size),
            final_hidden=empty(batch, size),
            final_cell_state=empty(batch, size) if has_cell_state else None,
        )
        if batch > 0:
            run_forward(call, found, tensors)
        outputs = tensors.outputs
        if outputs is None and hiddens is not None:
            outputs = _after(hiddens, self.reverse).clone()  # so that in-place edits can't corrupt the backward pass
        assert outputs is not None
        return (outputs, tensors.final_hidden, tensors.final_cell_state), (tensors.kept, hiddens, tensors.cell_states)

    def backward(
        self, given: Given, saved: Saved, d_results: Sequence[Tensor | None], needed: Mapping[str, bool]
    ) -> Gradients:
        projected, hidden, dropout = given.inputs, given.hidden, given.dropout
        kept, hiddens, cell_states = saved
        d_outputs, d_hidden, d_cell_state = map(_contiguous, d_results)
        weight, d_recurrent = _multiplied(given.weight_hh, projected), torch.empty_like(projected)
        tensors = Backward(
            weight=weight,
            mask=_bytes(given.mask),
            dropout=_contiguous(dropout),
            kept=kept,
            states=hiddens if cell_states is None else cell_states,
            d_outputs=d_outputs,
            d_final_hidden=d_hidden,
            d_final_cell_state=d_cell_state,
            d_projected=torch.empty_like(projected) if self.call.name == "gru" else d_recurrent,
            d_recurrent=d_recurrent,
            d_initial_hidden=hidden.new_empty(hidden.shape) if needed["hidden"] else None,
            d_initial_cell_state=hidden.new_empty(hidden.shape) if needed["cell_state"] else None,
        )
        if len(hidden) > 0:
            run_backward(self.call, find_plan(self.call, "backward", weight, len(hidden)), tensors)
        gradients: dict[str, Tensor | None] = {
            "inputs": tensors.d_projected,
            "hidden": tensors.d_initial_hidden,
            "cell_state": tensors.d_initial_cell_state,
        }
        if needed["weight_hh"]:
            recurrent = _before(hiddens, self.reverse)
            recurrent = recurrent if dropout is None else (recurrent * dropout).to(d_recurrent)
            gradients["weight_hh"] = (d_recurrent.flatten(0, 1).t() @ recurrent.flatten(0, 1)).to(given.weight_hh)
        if needed["bias_hh"]:
            gradients["bias_hh"] = d_recurrent.sum((0, 1)).to(given.bias_hh)
        return gradients


def _multiplied(weight: Tensor, projected: Tensor) -> Tensor:
    """Return the recurrent weights as the kernels read them: contiguous, in the type of the products."""
    weight = weight.to(projected.dtype).contiguous()
    if INTERPRETED and weight.dtype == torch.bfloat16:
        return weight.float()  # the interpreter would multiply the bits of bfloat16 as integers
    return weight


def _before(states: Tensor, reverse: bool) -> Tensor:
    """Return the states before each step: `(T + 1, B, S)` -> `(T, B, S)`."""
    return states[1:] if reverse else states[:-1]


def _after(states: Tensor, reverse: bool) -> Tensor:
    """Return the states after each step: `(T + 1, B, S)` -> `(T, B, S)`."""
    return states[:-1] if reverse else states[1:]


def _bytes(mask: Tensor | None) -> Tensor | None:
    return None if mask is None else mask.contiguous().view(torch.uint8)


def _contiguous(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous()
