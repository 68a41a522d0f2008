"""Choose the kernels for given tensors and launch them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from seqsum.recurrent.kernels.triton import persistent, stepped
from seqsum.recurrent.kernels.triton.blocks import ABSENT
from seqsum.recurrent.kernels.triton.compiled import BLOCK, INTERPRETED, Call, Launch
from seqsum.recurrent.kernels.triton.equations import NUM_GATES
from seqsum.recurrent.kernels.triton.plan import Device, Plan, Way, plan

BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # integer types by their bytes


class Forward(NamedTuple):
    """The tensors of a forward pass, contiguous, in the order of the kernel's arguments.

    Attributes:
        weight: `W_hh (G·H, H)`.
        bias: The GRU's `b_hh (3·H,)`.
        mask: `(T, B)`, uint8.
        dropout: Recurrent dropout mask, `(B, H)`.
        projected: Projected inputs, `(T, B, G·H)`.
        initial_hidden, initial_cell_state: `(B, H)`; only the LSTM has a cell state.
        kept: For the blocks that the backward pass needs, `(T, B, NUM_KEPT·H)`.
        hiddens, cell_states: For all states, `(T + 1, B, H)`; `hiddens` has the type of `projected`.
        outputs: For the outputs, `(T, B, H)`; None if `hiddens` contains them.
        final_hidden, final_cell_state: For the final state, `(B, H)`.

    The kernel fills the tensors from `kept` on.
    """

    weight: Tensor
    bias: Tensor | None
    mask: Tensor | None
    dropout: Tensor | None
    projected: Tensor
    initial_hidden: Tensor
    initial_cell_state: Tensor | None
    kept: Tensor | None
    hiddens: Tensor | None
    cell_states: Tensor | None
    outputs: Tensor | None
    final_hidden: Tensor
    final_cell_state: Tensor | None


class Backward(NamedTuple):
    """The tensors of a backward pass, see `Forward`. `d_x` is the gradient of x, None if there is none or not needed.

    Attributes:
        states: `(T + 1, B, H)`; cell states of the LSTM, hidden states of GRU and RNN.
        d_projected: For the gradient of the projected inputs, `(T, B, G·H)`.
        d_recurrent: For the gradient of the recurrent products, `(T, B, G·H)`. It is the same tensor except for the
            GRU, whose reset gate scales only the recurrent product.
    """

    weight: Tensor
    mask: Tensor | None
    dropout: Tensor | None
    kept: Tensor | None
    states: Tensor
    d_outputs: Tensor | None
    d_final_hidden: Tensor | None
    d_final_cell_state: Tensor | None
    d_projected: Tensor
    d_recurrent: Tensor
    d_initial_hidden: Tensor | None
    d_initial_cell_state: Tensor | None


def run_forward(call: Call, found: Plan | None, tensors: Forward) -> None:
    """Run the forward pass, by the persistent kernel if there is a plan for it, and fill the tensors from `kept` on."""
    if found is None:
        return _step_forward(call, tensors)
    hiddens = tensors.hiddens
    if hiddens is not None:
        hiddens = hiddens.view(BITS[hiddens.element_size()])
        if not found.alone:
            hiddens.fill_(ABSENT.value)
    return _launch(persistent.forward, call, found, tensors.projected, *tensors._replace(hiddens=hiddens))


def run_backward(call: Call, found: Plan | None, tensors: Backward) -> None:
    """Run the backward pass in the same way."""
    if found is None:
        return _step_backward(call, tensors)
    weight, exchanged = tensors.weight, None
    if weight.element_size() > 2:  # the GPU transposes tiles of 16 bits as it reads them from shared memory, no others
        tensors = tensors._replace(weight=weight.t().contiguous())
    if not found.alone:
        dtype = state_type(tensors.d_projected)
        size = 2 * found.groups[0] * found.groups[1] * found.padded * found.rows
        exchanged = weight.new_zeros(size, dtype=BITS[dtype.itemsize])
    return _launch(persistent.backward, call, found, tensors.d_projected, *tensors, exchanged)


def find_plan(call: Call, way: Way, weight: Tensor, batch: int) -> Plan | None:
    """Return the plan for the persistent kernel; None if steps should be launched one by one."""
    width = weight.element_size()
    if call.precision == "tf32x3":
        width *= 2  # it splits each weight into two
    found = plan(call.name, way, weight.shape[1], batch, width, _describe(weight.device))
    if INTERPRETED and found is not None and found.groups[0] > 1:
        return None  # the interpreter runs programs one after another, so one that waits for another would wait forever
    return found


def product_precision(dtype: torch.dtype) -> str:
    """Return how products of a type are computed; of float32 by TF32 if torch may use it, else by three TF32 products,
    which is full precision.
    """
    if dtype != torch.float32:
        return "ieee"
    matmul = torch.backends.cuda.matmul
    # since torch 2.9, reading allow_tf32 raises an error if the user has set fp32_precision
    allowed = matmul.fp32_precision == "tf32" if hasattr(matmul, "fp32_precision") else matmul.allow_tf32
    return "tf32" if allowed else "tf32x3"


def state_type(projected: Tensor) -> torch.dtype:
    """Return the type of states, gates and sums: float32, or float64 for float64 inputs."""
    return torch.promote_types(projected.dtype, torch.float32)


@lru_cache
def _describe(device: torch.device) -> Device:
    if device.type != "cuda":  # interpreted, or compiled without a GPU: plan for an H100
        return Device(132, 227 * 1024)
    properties: Any = torch.cuda.get_device_properties(device)
    return Device(properties.multi_processor_count, properties.shared_memory_per_block_optin)


def _launch(kernel: Any, call: Call, found: Plan, projected: Tensor, weight: Tensor, *others: Tensor | None) -> None:
    length, batch, width = projected.shape
    with torch.cuda.device_of(weight):
        Launch(kernel, found.groups, call, found, width // NUM_GATES[call.name], weight, *others)(length, batch)


def _step_forward(call: Call, tensors: Forward) -> None:
    weight, bias, mask, dropout, projected, *initial, kept, hiddens, cell_states, outputs, _, _ = tensors
    assert hiddens is not None
    length, batch, _ = projected.shape
    hidden, cell_state = (_running(state, projected) for state in initial)
    assert hidden is not None
    first = length if call.reverse else 0
    hiddens[first] = hidden
    if cell_states is not None and cell_state is not None:
        cell_states[first] = cell_state
    product, transposed = weight.new_empty(batch, len(weight)), weight.t()
    others = bias, mask, projected, kept, hiddens, cell_states, outputs, hidden, cell_state
    run_step = Launch(stepped.forward_once, _step_grid(hidden), call, None, hidden.shape[1], product, *others)
    before = hiddens.unbind()[::-1] if call.reverse else hiddens.unbind()
    with torch.cuda.device_of(weight):
        for step in range(length):
            operand = before[step] if dropout is None else before[step] * dropout
            torch.mm(operand.to(weight), transposed, out=product)
            run_step(step, length, batch)
    tensors.final_hidden.copy_(hidden)
    if tensors.final_cell_state is not None and cell_state is not None:
        tensors.final_cell_state.copy_(cell_state)


def _step_backward(call: Call, tensors: Backward) -> None:
    weight, mask, dropout, kept, states, d_outputs, *d_final, d_projected, d_recurrent, d_hidden0, d_cell_state0 = (
        tensors
    )
    length, batch, _ = d_projected.shape
    d_hidden, d_cell_state = (_running(gradient, d_projected) for gradient in d_final)
    if d_hidden is None:
        d_hidden = d_projected.new_zeros(batch, weight.shape[1], dtype=state_type(d_projected))
    if d_cell_state is None and call.name == "lstm":
        d_cell_state = torch.zeros_like(d_hidden)
    product = weight.new_zeros(batch, weight.shape[1])
    others = mask, dropout, kept, states, d_outputs, d_projected, d_recurrent, d_hidden, d_cell_state
    run_step = Launch(stepped.backward_once, _step_grid(d_hidden), call, None, d_hidden.shape[1], product, *others)
    deltas = d_recurrent.unbind()[::-1] if call.reverse else d_recurrent.unbind()
    with torch.cuda.device_of(weight):
        for step in reversed(range(length)):
            run_step(step, length, batch)
            torch.mm(deltas[step].to(weight), weight, out=product)
    if d_hidden0 is not None:
        d_hidden0.copy_(d_hidden + (product if dropout is None else product * dropout))
    if d_cell_state0 is not None and d_cell_state is not None:
        d_cell_state0.copy_(d_cell_state)


def _step_grid(state: Tensor) -> tuple[int, int]:
    return triton.cdiv(state.numel(), BLOCK), 1


def _running(state: Tensor | None, projected: Tensor) -> Tensor | None:
    """Copy a state, or its gradient, for the steps to change in place."""
    return None if state is None else state.to(state_type(projected), copy=True)
