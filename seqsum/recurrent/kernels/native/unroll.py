"""The kernels as a differentiable function of torch's tensors."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqsum.recurrent.cells import PackedCell
from seqsum.recurrent.kernels.common import differentiable_gradients, wants_plain_loop

WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
# how many gates a cell has, how many blocks of them are kept, and in which of these the gates' two parts are
GATES = {"lstm": 4, "gru": 3, "rnn": 1}
KEPT = {"lstm": 4, "gru": 4, "rnn": 1}
RECURRENT_BLOCKS = {"lstm": [0, 1, 2, 3], "gru": [0, 1, 3], "rnn": [0]}
RESULTS = ("outputs", "final_hidden", "final_memory")
PADDING = {"lstm": 16, "gru": 16, "rnn": 64}  # units are rounded up to whole panels of the widest vectors
PRODUCTS_A_THREAD = 100_000  # another thread has to save more than it takes to wake it


class Layer(ctypes.Structure):
    """`struct Layer` in `layer.h`, field by field."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("steps", "batch", "features", "hidden", "padded", "threads")),
        *((name, ctypes.c_int64) for name in ("reverse", "identity", "relu")),
        ("inputs", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("inputs_step", "inputs_row")),
        *(
            (name, ctypes.c_void_p)
            for name in ("mask", "order", *WEIGHTS, "dropout", "initial_hidden", "initial_memory")
        ),
        *((name, ctypes.c_void_p) for name in ("previous", "hiddens", "memories", "recurrents", "gates", "outputs")),
        *((name, ctypes.c_void_p) for name in ("final_hidden", "final_memory", "d_outputs")),
        *((name, ctypes.c_int64) for name in ("d_outputs_step", "d_outputs_row")),
        *((name, ctypes.c_void_p) for name in ("d_hidden", "d_memory", "d_gates", "d_inputs", "d_weight_ih")),
        *((name, ctypes.c_void_p) for name in ("d_weight_hh", "d_bias", "packed")),
    ]


def unroll_native(
    library: ctypes.CDLL | str,
    name: str,
    cell: PackedCell,
    inputs: Tensor,
    state: list[Tensor],
    mask: Tensor | None = None,
    reverse: bool = False,
) -> tuple[Tensor, list[Tensor]]:
    """The same as `Unroll(cell)(inputs, state, mask, reverse)`, forwards and backwards in C++."""
    number = len(cell.state_size)
    hidden, memory = (*state[:number], None)[:2]
    dropout = (*state[number:], None)[0]
    call = _Call(library, name, cell, mask, reverse)
    tensors = (inputs, hidden, memory, dropout, *(getattr(cell, weight) for weight in WEIGHTS))
    if torch.is_grad_enabled():
        results = _UnrollNative.apply(call, *tensors)
    else:
        results = _forward(call, *tensors, keep=False)[0]
    return results[0], [*results[1 : 1 + number], *state[number:]]


class _Call(NamedTuple):
    """What is computed, but for its tensors."""

    library: ctypes.CDLL | str
    name: str
    cell: PackedCell
    mask: Tensor | None
    reverse: bool


def _forward(
    call: _Call,
    inputs: Tensor,
    hidden: Tensor,
    memory: Tensor | None,
    dropout: Tensor | None,
    *weights: Tensor | None,
    keep: bool,
) -> tuple[tuple[Any, ...], dict[str, int], dict[str, Tensor | None]]:
    """Outputs and final states; sizes and flags; and all tensors by their names in `layer.h`."""
    (length, batch, features), size = inputs.shape, hidden.shape[1]
    gates, padded = GATES[call.name], -(-size // PADDING[call.name]) * PADDING[call.name]
    numbers = {
        **{"steps": length, "batch": batch, "features": features, "hidden": size, "padded": padded},
        "threads": _threads(length * batch * gates * size * (features + size), batch),
        "reverse": int(call.reverse),
        "identity": int(getattr(call.cell, "output_activation", "") == "identity"),
        "relu": int(getattr(call.cell, "nonlinearity", "") == "relu"),
    }
    states = hidden.new_empty(len(call.cell.state_size), length + 1, batch, padded)
    empty = hidden.new_empty
    tensors: dict[str, Tensor | None] = {
        "inputs": inputs if inputs.stride(2) == 1 else inputs.contiguous(),
        "mask": None if call.mask is None else call.mask.contiguous(),
        "order": None if call.mask is None else _balanced(call.mask, numbers["threads"]),
        **{key: _contiguous(weight) for key, weight in zip(WEIGHTS, weights, strict=True)},
        "dropout": _contiguous(dropout),
        "initial_hidden": hidden.contiguous(),
        "initial_memory": _contiguous(memory),
        "previous": empty(length, batch, dtype=torch.int32),
        "hiddens": states[0],
        "memories": None if memory is None else states[1],
        "recurrents": states[0] if dropout is None else torch.zeros_like(states[0]),
        "gates": empty(length, batch, KEPT[call.name], padded) if keep else None,
        "outputs": empty(length, batch, size) if call.mask is None else hidden.new_zeros(length, batch, size),
        "final_hidden": empty(batch, size),
        "final_memory": None if memory is None else empty(batch, size),
    }
    packed = empty((features + size) * gates * padded)
    _run(call, "forward", numbers, {**tensors, "packed": packed})
    return tuple(tensors[name] for name in RESULTS), numbers, tensors


class _UnrollNative(torch.autograd.Function):
    """Of the equations in `lstm.h` and its neighbours; the derivatives are written out there too."""

    @staticmethod
    def forward(ctx: Any, call: _Call, *tensors: Any) -> tuple[Tensor | None, ...]:
        results, ctx.numbers, by_name = _forward(call, *tensors, keep=any(ctx.needs_input_grad))
        ctx.call = call
        ctx.names = [name for name in by_name if name not in RESULTS]
        ctx.save_for_backward(*tensors, *(by_name[name] for name in ctx.names))
        return results

    @staticmethod
    def backward(ctx: Any, d_outputs: Tensor, d_hidden: Tensor, d_memory: Tensor | None) -> tuple[Tensor | None, ...]:
        call: _Call = ctx.call
        tensors = ctx.saved_tensors  # asked for once: those that are computed again for it come but once
        given, kept = tensors[:8], dict(zip(ctx.names, tensors[8:], strict=True))
        inputs, hidden, memory, dropout, *weights = given
        if wants_plain_loop(d_outputs, d_hidden, d_memory):
            gradients = [tensor for tensor in (d_outputs, d_hidden, d_memory) if tensor is not None]
            by_name = dict(zip(WEIGHTS, weights, strict=True))
            found = differentiable_gradients(
                call.cell, call.mask, call.reverse, inputs, (hidden, memory, dropout), by_name, gradients
            )
            return None, *found
        return None, *_backward(call, ctx.numbers, kept, d_outputs, d_hidden, d_memory, ctx.needs_input_grad[1])


def _backward(
    call: _Call,
    numbers: Mapping[str, int],
    kept: Mapping[str, Tensor | None],
    d_outputs: Tensor,
    d_hidden: Tensor,
    d_memory: Tensor | None,
    inputs_wanted: bool,
) -> tuple[Tensor | None, ...]:
    """Gradients of inputs, hidden, memory, dropout and each weight, None where there is none."""
    length, batch, features, size, padded = (numbers[key] for key in ("steps", "batch", "features", "hidden", "padded"))
    gates, blocks, empty = GATES[call.name], KEPT[call.name], d_outputs.new_empty
    room = empty if call.mask is None else d_outputs.new_zeros
    whole = sum(-(-columns // 64) * 64 for columns in (features, size))
    d_hidden, d_memory = _padded(d_hidden, padded), None if d_memory is None else _padded(d_memory, padded)
    d_inputs = room(length, batch, features) if inputs_wanted else None
    d_weights = [empty(columns, gates, padded) for columns in (features, size)]
    d_bias = empty(blocks, padded)
    tensors = {
        "d_outputs": d_outputs if d_outputs.stride(2) == 1 else d_outputs.contiguous(),
        **{"d_hidden": d_hidden, "d_memory": d_memory, "d_gates": empty(length, batch, blocks, padded)},
        **{"d_inputs": d_inputs, "d_weight_ih": d_weights[0], "d_weight_hh": d_weights[1], "d_bias": d_bias},
        "packed": empty(gates * size * whole),
    }
    _run(call, "backward", numbers, {**kept, **tensors})
    d_states = [None if d is None else d[:, :size] for d in (d_hidden, d_memory)]
    d_biases = [d_bias[part, :size].flatten() for part in (slice(gates), RECURRENT_BLOCKS[call.name])]
    return (
        d_inputs,
        *d_states,
        None,
        *(d_weight[..., :size].flatten(1).t().contiguous() for d_weight in d_weights),
        *(None if kept[name] is None else found for name, found in zip(WEIGHTS[2:], d_biases, strict=True)),
    )


def _run(call: _Call, direction: str, numbers: Mapping[str, int], tensors: Mapping[str, Tensor | None]) -> None:
    pointers = {name: None if tensor is None else tensor.data_ptr() for name, tensor in tensors.items()}
    strided = [(name, tensor) for name in ("inputs", "d_outputs") if (tensor := tensors.get(name)) is not None]
    strides = {f"{name}_{axis}": tensor.stride(k) for name, tensor in strided for k, axis in enumerate(("step", "row"))}
    layer = Layer(**numbers, **strides, **pointers)
    getattr(call.library, f"{call.name}_{direction}")(ctypes.byref(layer))


def _threads(products: int, batch: int) -> int:
    return max(1, min(torch.get_num_threads(), batch, products // PRODUCTS_A_THREAD))


def _balanced(mask: Tensor, threads: int) -> Tensor:
    """An order of rows of which each thread's part holds as much work as the others': dealt out by length."""
    by_length = mask.sum(0).argsort(descending=True, stable=True).int()
    return torch.cat([by_length[thread::threads] for thread in range(threads)])


def _padded(states: Tensor, size: int) -> Tensor:
    """A copy, `(B, H)` -> `(B, size)`, with zeros behind."""
    copy = states.new_zeros(len(states), size)
    copy[:, : states.shape[1]] = states
    return copy


def _contiguous(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.contiguous()
