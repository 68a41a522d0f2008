"""The loop over time: any cell, over a whole sequence, forwards or backwards, with or without a mask.

`Unroll.forward` is the only loop that is written for every cell. The backend (`backends.py`) says how it
runs: as the Python you read here, or compiled from the same source.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seqsum.recurrent.cells import RecurrentCell
from seqsum.recurrent.explain import check_step_result


class Unroll(nn.Module):
    """Runs a cell over time."""

    def __init__(self, cell: RecurrentCell) -> None:
        super().__init__()
        self.cell = cell

    def forward(
        self, inputs: Tensor, state: list[Tensor], mask: Tensor | None = None, reverse: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        """Inputs `(T, B, F)`, state of `(B, S)` each, mask `(T, B)` -> outputs `(T, B, O)`, final state."""
        return self.loop(self.cell.project(inputs), state, mask, reverse)

    def loop(
        self, projected: Tensor, state: list[Tensor], mask: Tensor | None = None, reverse: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        """From the projected inputs on, `(T, B, G·H)`."""
        steps = projected.unbind(0)
        outputs: list[Tensor] = []
        for t in range(len(steps)):
            time = len(steps) - 1 - t if reverse else t
            result = self.cell.step(steps[time], state)
            if not torch.jit.is_scripting():  # which has checked it when it was compiled
                check_step_result(self.cell, result, len(state))
            output, new_state = result
            if mask is not None:
                valid = mask[time].unsqueeze(-1)
                output = output.masked_fill(~valid, 0)
                new_state = [torch.where(valid, new_state[k], state[k]) for k in range(len(state))]
            state = new_state
            outputs.append(output)
        if reverse:
            outputs.reverse()
        return torch.stack(outputs), state


def leave_out(inputs: Tensor, mask: Tensor | None) -> Tensor:
    """Inputs `(T, B, …)` with zeros where the mask `(T, B)` is False.

    Masked steps are computed and thrown away, and a gradient of zero times NaN is NaN: so NaN must not get that far.
    """
    if mask is None:
        return inputs
    return inputs.masked_fill(~mask.view(*mask.shape, *[1] * (inputs.dim() - 2)), 0)
