"""What the kernels of all cells share.

A kernel is a `torch.autograd.Function` over all steps. Forwards it runs the cell's equations and keeps
what the derivatives need. Backwards it forms the local derivatives of all steps in a few large
operations, goes through the steps once, from the last to the first, and then forms each weight gradient
as one product over all steps, where differentiating the loop would add up a small one a step.

Inside, tensors are `(T, rows, B)`, units before sequences. A step's product `W (R, S) @ hidden (S, B)`
then splits its many rows between cores, where `hidden @ Wᵀ` has few to split, and the blocks of a step's
gates are rows next to each other. States have `T + 1` steps, so that the state before each step is a view
of them too.

On a CPU a tanh takes three times as long as a σ, and tanh(x) = 2 σ(2 x) - 1. So what goes into a tanh is
kept doubled, by weights doubled beforehand, and what comes out halved, `σ(2 x) - ½`: one small operation
a step less than either way round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from seqsum.recurrent.cells import RecurrentCell, with_weights
from seqsum.recurrent.unroll import Unroll, leave_out

Kernel = Callable[[Any, Tensor, list[Tensor], Tensor | None, bool], tuple[Tensor, list[Tensor]]]


def steps(length: int, reverse: bool) -> list[tuple[int, int, int]]:
    """For each step in order of time: its index, and those of the states before and after it, of `T + 1`."""
    if reverse:
        return [(t, t + 1, t) for t in reversed(range(length))]
    return [(t, t, t + 1) for t in range(length)]


def project(inputs: Tensor, weight: Tensor, biases: Sequence[Tensor | None], scale: Tensor | None = None) -> Tensor:
    """`scale (W x + Σ biases)` of all steps: `(T, B, F)`, `(R, F)`, `(R,)` each, `(R, 1)` -> `(T, R, B)`."""
    given = [bias.unsqueeze(1) for bias in biases if bias is not None]
    bias = sum(given[1:], start=given[0]) if given else weight.new_zeros(len(weight), 1)
    if scale is not None:
        weight, bias = weight * scale, bias * scale
    steps = len(inputs)
    return torch.baddbmm(bias.expand(steps, -1, -1), weight.expand(steps, -1, -1), inputs.transpose(1, 2))


def room(like: Tensor, length: int, size: int, batch: int, keep: bool = True) -> Tensor:
    """An empty `(length, size, batch)`. Unless it is to be kept, all steps share the memory of one."""
    if keep:
        return like.new_empty(length, size, batch)
    return like.new_empty(1, size, batch).expand(length, -1, -1)


def room_for_states(initial: Tensor, length: int, reverse: bool, keep: bool = True) -> Tensor:
    """`room` of `(T + 1, S, B)` with the initial state, `(B, S)`, in its place."""
    batch, size = initial.shape
    states = room(initial, length + 1, size, batch, keep)
    states[length if reverse else 0] = initial.t()
    return states


def before(states: Tensor, reverse: bool) -> Tensor:
    """States `(T + 1, S, B)` -> those before each step, `(T, S, B)`."""
    return states[1:] if reverse else states[:-1]


def after(states: Tensor, reverse: bool) -> Tensor:
    """States `(T + 1, S, B)` -> those after each step, `(T, S, B)`."""
    return states[:-1] if reverse else states[1:]


def swapped(tensor: Tensor) -> Tensor:
    """`(T, S, B)` -> `(T, B, S)` and back, a copy: what is kept for the derivatives is not the user's to change."""
    return tensor.transpose(1, 2).clone(memory_format=torch.contiguous_format)


def masked(tensor: Tensor, mask: Tensor | None) -> Tensor:
    """`(T, S, B)` with zeros, in place, where the mask, `(T, B)`, is False."""
    return tensor if mask is None else tensor.masked_fill_(~mask.unsqueeze(1), 0)  # not times 0: it may be NaN


def rows_first(rows: Tensor) -> Tensor:
    """`(T, R, B)` -> `(R, T·B)`: copied, for one product over all steps is faster than one a step."""
    return rows.transpose(0, 1).flatten(1)


def input_gradients(
    d_rows: Tensor, inputs: Tensor, weight: Tensor, needed: Sequence[bool], factors: Tensor | None = None
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients of `project` before its scale, from those of its result: of inputs, weight, each bias.

    Args:
        d_rows: `(R, T·B)`, still to be multiplied by the factors.
        inputs, weight: As given to `project`.
        needed: Which of the three.
        factors: `(R, 1)`, one for all rows by default.
    """
    scaled = weight if factors is None else weight * factors
    d_inputs = (d_rows.t() @ scaled).view(inputs.shape) if needed[0] else None
    d_weight = d_rows @ inputs.flatten(0, 1) if needed[1] else None
    d_bias = d_rows.sum(1) if needed[2] else None
    if factors is not None:
        d_weight = None if d_weight is None else d_weight.mul_(factors)
        d_bias = None if d_bias is None else d_bias.mul_(factors.squeeze(1))
    return d_inputs, d_weight, d_bias


def wants_plain_loop(*gradients: Tensor | None) -> bool:
    """Whether a backward pass has to be made of torch's own operations, see `differentiable_gradients`.

    It does if its result is to be differentiated again, or if the gradients are a batch of them that looks like a
    single one (`is_grads_batched`, `jacobian(vectorize=True)`, `torch.func.vmap`).
    """
    functorch = torch._C._functorch  # there is no public way to ask
    return torch.is_grad_enabled() or any(
        gradient is not None and (functorch.is_batchedtensor(gradient) or functorch.is_legacy_batchedtensor(gradient))
        for gradient in gradients
    )


def differentiable_gradients(
    cell: RecurrentCell,
    mask: Tensor | None,
    reverse: bool,
    inputs: Tensor,
    state: Sequence[Tensor | None],
    weights: Mapping[str, Tensor | None],
    gradients: Sequence[Tensor],
    projected: bool = False,
) -> tuple[Tensor | None, ...]:
    """What a kernel's backward gives, but by torch's own operations: the gradients of the plain loop.

    They are differentiable where gradients are enabled, and may come in batches. Both are rare, so they are worth
    no second page of equations.

    Args:
        cell: Whose steps to run.
        mask, reverse, inputs: See `Unroll.forward`.
        state: The initial state and the constants.
        weights: Those parameters of the cell that the kernel got, by name.
        gradients: Of the outputs and of each final state.
        projected: Whether the inputs have gone through `cell.project`, see `Unroll.loop`.

    Returns:
        The gradient of the inputs, of each state and of each weight, None where there is none.
    """
    given = {name: weight for name, weight in weights.items() if weight is not None}
    loop, differentiable = Unroll(with_weights(cell, given)), torch.is_grad_enabled()
    tensors = (inputs, *state, *weights.values())
    wanted = [tensor for tensor in tensors if tensor is not None and tensor.requires_grad]
    with torch.enable_grad():
        present = [tensor for tensor in state if tensor is not None]
        known = leave_out(inputs, mask)  # which a kernel does not read behind a mask
        outputs, final = (loop.loop if projected else loop)(known, present, mask, reverse)
        results = [outputs, *final[: len(gradients) - 1]]
        found = torch.autograd.grad(results, wanted, list(gradients), create_graph=differentiable, allow_unused=True)
    by_tensor = dict(zip(map(id, wanted), found, strict=True))
    return tuple(by_tensor.get(id(tensor)) for tensor in tensors)
