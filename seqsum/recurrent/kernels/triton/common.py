"""What the Triton kernels of both cells share.

A program owns a block of rows of the batch and takes them through all steps, so that no program waits for
another. Every kernel comes in two forms:

    on chip   The recurrent weights are loaded once and stay in shared memory, the state stays in registers.
              As long as the weights fit: 128 units in 16 bits, 64 in 32.
    blocked   The weights are read anew in every step, a block at a time, from the L2 cache. The state goes
              through global memory, where the threads of a program meet at a barrier.

States, gates and sums are in float32, whatever the type of the inputs; products are of the type of the
projected input, which is autocast's where that is on. In the interpreter all of it may be float64.

Blocks are powers of two. Rows beyond the batch count as masked; units beyond `H` read zeros for weights and
inputs, which keeps their states and gradients at zero.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

# Chosen by what compiles without spilling registers; which are fastest nobody has measured.
ROWS = 16  # of the batch, to a program: the fewest that tensor cores multiply
ON_CHIP = 128 * 1024  # bytes of weights at most, of the 227 KB that a program has on an H100: inputs need room too
UNITS = 64  # at a time, in the blocked form
INNER = 128  # bytes of a product's sum at a time, likewise


@triton.jit
def tanh(x):
    """2 σ(2 x) - 1: the interpreter has no tanh."""
    return 2 * tl.sigmoid(2 * x) - 1


INTERPRETED = not isinstance(tanh, triton.JITFunction)


@triton.jit
def step_places(step, length, reverse: tl.constexpr):
    """In order of time: a step's index, and those of the states before and after it, of `T + 1`."""
    t = tl.cast(length - 1 - step if reverse else step, tl.int64)  # times a stride it may need more than 32 bits
    return t, t + 1 if reverse else t, t if reverse else t + 1


@triton.jit
def load(pointer, place, inside, dtype: tl.constexpr):
    """A block, zero outside."""
    return tl.load(pointer + place, mask=inside, other=0.0).to(dtype)


@triton.jit
def load_gates(pointer, num_gates: tl.constexpr, place, inside, stride: tl.constexpr, dtype: tl.constexpr):
    """The same block of three gates or four, which lie `stride` apart, zero outside."""
    first = tl.load(pointer + place, mask=inside, other=0.0).to(dtype)
    second = tl.load(pointer + stride + place, mask=inside, other=0.0).to(dtype)
    third = tl.load(pointer + 2 * stride + place, mask=inside, other=0.0).to(dtype)
    if num_gates == 3:
        return first, second, third
    else:  # noqa: RET505  # Triton would compile what stands behind the `if` in any case
        return first, second, third, tl.load(pointer + 3 * stride + place, mask=inside, other=0.0).to(dtype)


@triton.jit
def store_gates(pointer, num_gates: tl.constexpr, place, inside, stride: tl.constexpr, gates):
    """The inverse of `load_gates`."""
    tl.store(pointer + place, gates[0], mask=inside)
    tl.store(pointer + stride + place, gates[1], mask=inside)
    tl.store(pointer + 2 * stride + place, gates[2], mask=inside)
    if num_gates == 4:
        tl.store(pointer + 3 * stride + place, gates[3], mask=inside)


@triton.jit
def load_weights(weight, num_gates: tl.constexpr, outs, ins, size: tl.constexpr):
    """A block of each gate's `(H, H)`, by indices of rows and columns, in the shape of both together."""
    inside = (outs < size) & (ins < size)
    return load_gates(weight, num_gates, outs * size + ins, inside, size * size, weight.dtype.element_ty)


@triton.jit
def add_products(totals, num_gates: tl.constexpr, values, weights, precision: tl.constexpr):
    """`total + values @ weight` of each gate; values are multiplied in the type of the weights."""
    dtype: tl.constexpr = totals[0].dtype
    values = values.to(weights[0].dtype)
    first = tl.dot(values, weights[0], totals[0], input_precision=precision, out_dtype=dtype)
    second = tl.dot(values, weights[1], totals[1], input_precision=precision, out_dtype=dtype)
    third = tl.dot(values, weights[2], totals[2], input_precision=precision, out_dtype=dtype)
    if num_gates == 3:
        return first, second, third
    else:  # noqa: RET505
        fourth = tl.dot(values, weights[3], totals[3], input_precision=precision, out_dtype=dtype)
        return first, second, third, fourth


@triton.jit
def sum_products(values, num_gates: tl.constexpr, weights, precision: tl.constexpr):
    """`values @ weight`, summed over the gates."""
    dtype: tl.constexpr = values[0].dtype
    total = tl.dot(values[0].to(weights[0].dtype), weights[0], input_precision=precision, out_dtype=dtype)
    total = tl.dot(values[1].to(weights[0].dtype), weights[1], total, input_precision=precision, out_dtype=dtype)
    total = tl.dot(values[2].to(weights[0].dtype), weights[2], total, input_precision=precision, out_dtype=dtype)
    if num_gates == 4:
        total = tl.dot(values[3].to(weights[0].dtype), weights[3], total, input_precision=precision, out_dtype=dtype)
    return total


@triton.jit
def load_valid(mask, t, rows, batch):
    """Whether each row has this step, `(rows, 1)`."""
    valid = rows < batch
    if mask is not None:
        valid = tl.load(mask + t * batch + rows, mask=valid, other=0) != 0
    return valid[:, None]


@triton.jit
def load_dropout(dropout, place, inside, dtype: tl.constexpr):
    """What the hidden state is multiplied by on its way to the gates."""
    if dropout is None:
        return 1.0
    else:  # noqa: RET505
        return tl.load(dropout + place, mask=inside, other=0.0).to(dtype)


@triton.jit
def add_recurrent_gradient(
    d_summed, weight, dropout, d_hidden, rows, batch, num_gates: tl.constexpr, size: tl.constexpr,
    precision: tl.constexpr, block_rows: tl.constexpr, block_units: tl.constexpr, block_inner: tl.constexpr,
):  # fmt: skip
    """`δhidden += d * (W_hhᵀ δsummed)` for a step's `(B, G·H)`, block by block."""
    dtype: tl.constexpr = d_hidden.dtype.element_ty
    packed: tl.constexpr = num_gates * size
    for start in range(0, size, block_units):
        units = start + tl.arange(0, block_units)
        inside = (rows < batch)[:, None] & (units < size)[None, :]
        place = rows[:, None] * size + units[None, :]
        d_recurrent = tl.zeros((block_rows, block_units), dtype)
        for inner_start in range(0, packed, block_inner):
            inner = inner_start + tl.arange(0, block_inner)  # rows of the weights, of all gates
            inner_inside = (rows < batch)[:, None] & (inner < packed)[None, :]
            values = load(d_summed, rows[:, None] * packed + inner[None, :], inner_inside, dtype)
            weight_inside = (inner < packed)[:, None] & (units < size)[None, :]
            weights = load(weight, inner[:, None] * size + units[None, :], weight_inside, weight.dtype.element_ty)
            values = values.to(weights.dtype)
            d_recurrent = tl.dot(values, weights, d_recurrent, input_precision=precision, out_dtype=dtype)
        kept = load_dropout(dropout, place, inside, dtype)
        tl.store(d_hidden + place, load(d_hidden, place, inside, dtype) + d_recurrent * kept, mask=inside)


class Blocks(NamedTuple):
    """How a kernel cuts up its work, see the head of this file."""

    on_chip: bool
    units: int
    inner: int
    warps: int


def blocks_for(weight: Tensor) -> Blocks:
    """Of a kernel with the recurrent weights `(G·H, H)`."""
    (packed, size), width = weight.shape, weight.element_size()
    padded = max(16, triton.next_power_of_2(size))
    if packed // size * padded**2 * width <= ON_CHIP:
        warps = 4 if padded * width <= 128 else 8  # 64 units in float32 would spill with 4
        return Blocks(True, padded, padded, warps)
    return Blocks(False, min(UNITS, padded), min(INNER // width, padded), warps=4)


def room_for_states(initial: Tensor, length: int, reverse: bool) -> Tensor:
    """An empty `(T + 1, B, H)` with the initial state, `(B, H)`, in its place."""
    states = initial.new_empty(length + 1, *initial.shape)
    states[length if reverse else 0] = initial
    return states


def weight_gradient(d_summed: Tensor, recurrent: Tensor) -> Tensor:
    """Gradients of what came out, `(T, B, R)`, and what went in, `(T, B, H)` -> that of the weight, `(R, H)`."""
    return d_summed.flatten(0, 1).t() @ recurrent.flatten(0, 1)


def state_type(projected: Tensor) -> torch.dtype:
    """Of states, gates and sums."""
    return torch.promote_types(projected.dtype, torch.float32)


def product_weight(weight: Tensor, projected: Tensor) -> Tensor:
    """Recurrent weights as the kernels read them: contiguous, and of the type of the products."""
    weight = weight.to(projected.dtype).contiguous()
    if INTERPRETED and weight.dtype == torch.bfloat16:
        return weight.float()  # the interpreter would multiply the bits of bfloat16, as whole numbers
    return weight


def float32_precision() -> str:
    """Of products in float32: TF32 where the user allows it to torch."""
    matmul = torch.backends.cuda.matmul
    # torch 2.9 and later refuse to tell the second if the user has set the first
    allowed = matmul.fp32_precision == "tf32" if hasattr(matmul, "fp32_precision") else matmul.allow_tf32
    return "tf32" if allowed else "ieee"


def launch(on_chip: Any, blocked: Any, weight: Tensor, batch: int, *arguments: Any, **constants: Any) -> None:
    """Run the form of a kernel that suits the weights, for all rows."""
    if batch == 0:
        return
    blocks = blocks_for(weight)
    constants |= {"size": weight.shape[1], "precision": float32_precision(), "block_rows": ROWS}
    constants |= {"block_units": blocks.units} | ({} if blocks.on_chip else {"block_inner": blocks.inner})
    kernel, grid = on_chip if blocks.on_chip else blocked, (triton.cdiv(batch, ROWS),)
    with torch.cuda.device_of(weight):  # Triton launches on the current device
        # fusing a * b + c is the default up to Triton 3.9, which warns that it won't be
        kernel[grid](weight, *arguments, batch, **constants, num_warps=blocks.warps, enable_fp_fusion=True)
