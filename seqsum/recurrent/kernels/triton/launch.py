"""Which kernels run for given tensors, and their launches."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from seqsum.recurrent.cells import PackedCell
from seqsum.recurrent.kernels.triton import persistent, stepped
from seqsum.recurrent.kernels.triton.blocks import ABSENT
from seqsum.recurrent.kernels.triton.equations import NUM_GATES, NUM_KEPT
from seqsum.recurrent.kernels.triton.plan import Device, Plan, Way, plan

INTERPRETED = not isinstance(persistent.forward, triton.JITFunction)
BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes
BLOCK = 256  # units of rows to a program of the kernels that run a step at a time


class Call(NamedTuple):
    """What is computed, but for its tensors: the name of the cell, the cell, the direction."""

    name: str
    cell: PackedCell
    reverse: bool

    @property
    def variant(self) -> bool:
        """The LSTM's identity output, or the RNN's ReLU."""
        cell = self.cell
        return getattr(cell, "output_activation", "") == "identity" or getattr(cell, "nonlinearity", "") == "relu"

    @property
    def outputs_hidden(self) -> bool:
        """Whether a step's output is its hidden state."""
        return self.name != "lstm" or not self.variant


class Forward(NamedTuple):
    """The tensors of a forward pass, contiguous, in the order of the kernel's arguments.

    Attributes:
        weight: `W_hh (G·H, H)`.
        bias: The GRU's `b_hh (3·H,)`.
        mask: `(T, B)`, uint8.
        dropout: `(B, H)`, what the hidden state is multiplied by on its way to the gates.
        projected: `(T, B, G·H)`.
        initial_hidden, initial_cell_state: `(B, H)`; the second is the LSTM's cell state.
        kept: Room for what the backward pass needs, `(T, B, NUM_KEPT·H)`.
        hiddens, cell_states: Room for all states, `(T + 1, B, H)`; the hidden ones in the type of `projected`.
        outputs: Room for `(T, B, H)`; None where a view of `hiddens` does.
        final_hidden, final_cell_state: Room for `(B, H)`.
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
    """The tensors of a backward pass, likewise; `d_x` is the gradient of x, None where there is none or none is wanted.

    Attributes:
        states: The LSTM's cell states, the others' hidden states, `(T + 1, B, H)`.
        d_projected: Room for `(T, B, G·H)`.
        d_recurrent: The same tensor, but for the GRU: its reset gate scales the recurrent product alone.
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


def steps(length: int, reverse: bool) -> list[tuple[int, int, int]]:
    """For each step in order of time: its index, and those of the states before and after it, of `T + 1`."""
    if reverse:
        return [(t, t + 1, t) for t in reversed(range(length))]
    return [(t, t, t + 1) for t in range(length)]


def run_forward(call: Call, found: Plan | None, tensors: Forward) -> None:
    """Fill the room in `tensors`, by the persistent kernel if there is a plan for it."""
    if found is None:
        return _step_forward(call, tensors)
    hiddens = tensors.hiddens
    if hiddens is not None:
        hiddens = hiddens.view(BITS[hiddens.element_size()])
        if not found.alone:
            hiddens.fill_(ABSENT.value)
    return _launch(persistent.forward, call, found, tensors.projected, *tensors._replace(hiddens=hiddens))


def run_backward(call: Call, found: Plan | None, tensors: Backward) -> None:
    """Fill the room in `tensors`, likewise."""
    if found is None:
        return _step_backward(call, tensors)
    exchanged = None
    if not found.alone:
        dtype = state_type(tensors.d_projected)
        size = 2 * found.groups[0] * found.groups[1] * found.padded * found.rows
        exchanged = tensors.weight.new_zeros(size, dtype=BITS[dtype.itemsize])
    return _launch(persistent.backward, call, found, tensors.d_projected, *tensors, exchanged)


def find_plan(call: Call, way: Way, weight: Tensor, batch: int) -> Plan | None:
    """How the persistent kernels run; None where a launch for each step is to be preferred."""
    width = weight.element_size()
    if weight.dtype == torch.float32 and float32_precision() != "tf32":
        width *= 2  # each weight as the sum of two
    found = plan(call.name, way, weight.shape[1], batch, width, _describe(weight.device))
    if INTERPRETED and found is not None and found.groups[0] > 1:
        return None  # programs that wait for each other would wait forever: the interpreter runs one after another
    return found


def float32_precision() -> str:
    """Of products in float32: TF32 where the user allows it to torch, else three of them, as exact as float32."""
    matmul = torch.backends.cuda.matmul
    # torch 2.9 and later refuse to tell the second if the user has set the first
    allowed = matmul.fp32_precision == "tf32" if hasattr(matmul, "fp32_precision") else matmul.allow_tf32
    return "tf32" if allowed else "tf32x3"


def state_type(projected: Tensor) -> torch.dtype:
    """Of states, gates and sums."""
    return torch.promote_types(projected.dtype, torch.float32)


@lru_cache
def _describe(device: torch.device) -> Device:
    if device.type != "cuda":  # in the interpreter, or to be compiled alone: as an H100
        return Device(132, 227 * 1024)
    properties: Any = torch.cuda.get_device_properties(device)
    return Device(properties.multi_processor_count, properties.shared_memory_per_block_optin)


def _launch(kernel: Any, call: Call, found: Plan, projected: Tensor, weight: Tensor, *tensors: Tensor | None) -> None:
    length, batch, _ = projected.shape
    constants = {
        **_constants(call, weight),
        **{"slots": 1 if NUM_GATES[call.name] == 1 else 4, "padded": found.padded, "reverse": call.reverse},
        **{"precision": float32_precision(), "alone": found.alone},
        **{"block_units": found.units, "block_rows": found.rows, "chunks": found.chunks},
    }
    options: dict[str, Any] = {"num_warps": found.warps}
    if not found.alone:
        options["launch_cooperative_grid"] = True
    _start(kernel, found.groups, weight, *tensors, length, batch, **constants, **options)


def _start(kernel: Any, grid: tuple[int, ...], weight: Tensor, *arguments: Any, **options: Any) -> None:
    with torch.cuda.device_of(weight):  # Triton launches on the current device
        # fusing a * b + c is the default up to Triton 3.9, which warns that it won't be
        kernel[grid](weight, *arguments, **options, enable_fp_fusion=True)


def _constants(call: Call, weight: Tensor) -> dict[str, Any]:
    """What every kernel is compiled for."""
    approximate = weight.dtype in (torch.float16, torch.bfloat16) and not INTERPRETED
    sizes = {"gates": NUM_GATES[call.name], "num_kept": NUM_KEPT[call.name], "size": weight.shape[1]}
    return {"cell": call.name, "variant": call.variant, "approximate": approximate, **sizes}


def _step_forward(call: Call, tensors: Forward) -> None:
    weight, bias, mask, dropout, projected, *initial, kept, hiddens, cell_states, outputs, _, _ = tensors
    assert hiddens is not None
    length, batch, _ = projected.shape
    hidden, cell_state = (_running(state, projected) for state in initial)
    assert hidden is not None
    order = steps(length, call.reverse)
    hiddens[order[0][1]] = hidden
    if cell_states is not None and cell_state is not None:
        cell_states[order[0][1]] = cell_state
    product = weight.new_empty(batch, len(weight))
    for t, last, now in order:
        operand = hiddens[last] if dropout is None else hiddens[last] * dropout
        torch.mm(operand.to(weight), weight.t(), out=product)
        of_step = _at(mask, t), projected[t], _at(kept, t), hiddens[now], _at(cell_states, now), _at(outputs, t)
        _start_once(stepped.forward_once, call, hidden.shape, product, bias, *of_step, hidden, cell_state)
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
    for t, last, now in reversed(steps(length, call.reverse)):
        of_step = _at(mask, t), dropout, _at(kept, t), states[now if call.name == "rnn" else last], _at(d_outputs, t)
        gradients = d_projected[t], d_recurrent[t], d_hidden, d_cell_state
        _start_once(stepped.backward_once, call, d_hidden.shape, product, *of_step, *gradients)
        torch.mm(d_recurrent[t].to(weight), weight, out=product)
    if d_hidden0 is not None:
        d_hidden0.copy_(d_hidden + (product if dropout is None else product * dropout))
    if d_cell_state0 is not None and d_cell_state is not None:
        d_cell_state0.copy_(d_cell_state)


def _start_once(kernel: Any, call: Call, shape: torch.Size, product: Tensor, *tensors: Tensor | None) -> None:
    batch, size = shape
    grid = (triton.cdiv(batch * size, BLOCK),)
    _start(kernel, grid, product, *tensors, batch, **_constants(call, call.cell.weight_hh), block=BLOCK)


def _running(state: Tensor | None, projected: Tensor) -> Tensor | None:
    """A copy that steps may change."""
    return None if state is None else state.to(state_type(projected), copy=True)


def _at(tensor: Tensor | None, index: int) -> Tensor | None:
    return None if tensor is None else tensor[index]
