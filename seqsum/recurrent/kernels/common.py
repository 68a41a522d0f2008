"""What the kernels of all cells share.

A kernel is a `torch.autograd.Function` over the projected input of all steps. Forwards it runs the cell's
equations and keeps what the derivatives need. Backwards it forms the local derivatives of all steps in a
few large operations, goes through the steps once, from the last to the first, and then forms each weight
gradient as one product over all steps, where differentiating the loop would add up a small one a step.

States are kept in one tensor of `T + 1` steps, so that the state before each step is a view of it too.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from seqsum.recurrent.cells import RecurrentCell
from seqsum.recurrent.unroll import Unroll


def steps(length: int, reverse: bool) -> list[tuple[int, int, int]]:
    """For each step in order of time: its index, and those of the states before and after it, of `T + 1`."""
    if reverse:
        return [(t, t + 1, t) for t in reversed(range(length))]
    return [(t, t, t + 1) for t in range(length)]


def room_for_states(initial: Tensor, length: int, reverse: bool) -> Tensor:
    """An empty `(T + 1, B, S)` with the initial state, `(B, S)`, in its place."""
    states = initial.new_empty(length + 1, *initial.shape)
    states[length if reverse else 0] = initial
    return states


def before(states: Tensor, reverse: bool) -> Tensor:
    """States `(T + 1, B, S)` -> those before each step, `(T, B, S)`."""
    return states[1:] if reverse else states[:-1]


def after(states: Tensor, reverse: bool) -> Tensor:
    """States `(T + 1, B, S)` -> those after each step, `(T, B, S)`."""
    return states[:-1] if reverse else states[1:]


def tanh_(tensor: Tensor) -> Tensor:
    """In place, as 2 σ(2 x) - 1: four small operations, but on a CPU together twice as fast as `torch.tanh`."""
    return tensor.mul_(2).sigmoid_().mul_(2).sub_(1)


def valid_outputs(states: Tensor, mask: Tensor | None) -> Tensor:
    """States after each step, `(T, B, S)` -> outputs, zero where the mask says so.

    Always a copy: the states are needed backwards, and a user may change outputs in place.
    """
    return states.clone() if mask is None else states * mask.unsqueeze(-1)


def weight_gradient(d_outputs: Tensor, inputs: Tensor) -> Tensor:
    """Gradients of what came out, `(T, B, R)`, and what went in, `(T, B, S)` -> that of the weight, `(R, S)`."""
    return d_outputs.flatten(0, 1).t() @ inputs.flatten(0, 1)


class _PlainLoop(nn.Module):
    def __init__(self, cell: RecurrentCell) -> None:
        super().__init__()
        self.cell = cell

    def forward(
        self, projected: Tensor, state: list[Tensor], mask: Tensor | None, reverse: bool
    ) -> tuple[Tensor, list[Tensor]]:
        return Unroll(self.cell).loop(projected, state, mask, reverse)


def differentiable_gradients(
    cell: RecurrentCell,
    mask: Tensor | None,
    reverse: bool,
    inputs: dict[str, Tensor | None],
    num_states: int,
    gradients: Sequence[Tensor],
) -> tuple[Tensor | None, ...]:
    """What a kernel's backward gives, but differentiable: the gradients of the plain loop.

    A second derivative is rare, so it is worth no second page of equations.

    Args:
        cell: Whose steps to run.
        mask, reverse: See `Unroll.loop`.
        inputs: What the kernel got, in its order: `projected`, then the cell's parameters by name, then
            the states and constants.
        num_states: How many of `inputs` are states and constants.
        gradients: Of the outputs and of each final state.

    Returns:
        The gradient of each of `inputs`, None where there is none.
    """
    names, first_state = list(inputs), len(inputs) - num_states
    weights = {f"cell.{name}": weight for name in names[1:first_state] if (weight := inputs[name]) is not None}
    state = [tensor for tensor in list(inputs.values())[first_state:] if tensor is not None]
    wanted = {name: tensor for name, tensor in inputs.items() if tensor is not None and tensor.requires_grad}
    with torch.enable_grad():
        outputs, final = functional_call(_PlainLoop(cell), weights, (inputs["projected"], state, mask, reverse))
        results = [outputs, *final[: len(gradients) - 1]]
        found = torch.autograd.grad(
            results, list(wanted.values()), list(gradients), create_graph=True, allow_unused=True
        )
    by_name = dict(zip(wanted, found, strict=True))
    return tuple(by_name.get(name) for name in names)
