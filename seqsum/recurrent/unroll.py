"""The loop over time: runs any cell over a sequence, in either direction, with or without a mask.

`Unroll` works for every cell. Its backend (`backends.py`) decides whether it runs as the Python below, is
compiled from it, or is replaced by a kernel that computes the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from seqsum.recurrent.cells import RecurrentCell
from seqsum.recurrent.explain import check_step_result

Runner: TypeAlias = Callable[[Tensor, list[Tensor], Tensor | None, bool], tuple[Tensor, list[Tensor]]]


class Unroll(nn.Module):
    """Run a cell over time."""

    def __init__(self, cell: RecurrentCell) -> None:
        super().__init__()
        self.cell = cell
        self.num_states = len(cell.state_size)

    def forward(
        self, inputs: Tensor, state: list[Tensor], mask: Tensor | None = None, reverse: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        """Run all steps: inputs `(T, B, F)`, state `(B, S)` each, mask `(T, B)` -> outputs `(T, B, O)`, final state.

        Where the mask is False, the row's state is carried over and its output is zero. With `reverse`, the last step
        runs first; each output stays at the time of its input. Constants of the cell follow its states; they have any
        number of axes and pass through.
        """
        return self.loop(self.cell.project(inputs), state, mask, reverse)

    def loop(
        self, projected: Tensor, state: list[Tensor], mask: Tensor | None = None, reverse: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        """Run all steps on projected inputs, `(T, B, G·H)`."""
        steps = projected.unbind(0)
        outputs: list[Tensor] = []
        for t in range(len(steps)):
            time = len(steps) - 1 - t if reverse else t
            result = self.cell.step(steps[time], list(state))  # a list of its own, since a step may write into it
            if not torch.jit.is_scripting():  # which has checked it when it was compiled
                check_step_result(self.cell, result, len(state))
            output, new_state = result
            if mask is not None:
                valid = mask[time].unsqueeze(-1)
                output = output.masked_fill(~valid, 0)
                kept = [torch.where(valid, new_state[k], state[k]) for k in range(self.num_states)]
                new_state = kept + state[self.num_states :]
            state = new_state
            outputs.append(output)
        if reverse:
            outputs.reverse()
        return torch.stack(outputs), state


def run_without_masked(
    loop: Runner, num_states: int, inputs: Tensor, state: list[Tensor], mask: Tensor | None, reverse: bool
) -> tuple[Tensor, list[Tensor]]:
    """Run a loop that computes masked steps too, so that nothing masked reaches a value or a gradient.

    A row that is masked at every step has any state, which is carried over.
    """
    if mask is None:
        return loop(inputs, state, mask, reverse)
    used = mask.any(0).unsqueeze(-1)  # (B, 1)
    begun = [tensor.masked_fill(~used, 0) for tensor in state[:num_states]] + state[num_states:]
    outputs, final = loop(leave_out(inputs, mask), begun, mask, reverse)
    kept = [torch.where(used, final[k], state[k]) for k in range(num_states)]
    return outputs, kept + final[num_states:]


def leave_out(inputs: Tensor, mask: Tensor | None) -> Tensor:
    """Set inputs `(T, B, …)` to zero where the mask `(T, B)` is False.

    The loop computes masked steps too and discards the result. A NaN in their inputs would still reach the gradients,
    since zero times NaN is NaN.
    """
    if mask is None:
        return inputs
    return inputs.masked_fill(~mask.view(*mask.shape, *[1] * (inputs.dim() - 2)), 0)
