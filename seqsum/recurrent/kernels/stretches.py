"""Padding that costs nothing: a long batch runs a stretch of time at a time, without the rows that rest in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Run = Callable[[Tensor, list[Tensor], Tensor | None, bool], tuple[Tensor, list[Tensor]]]

NUM_STRETCHES = 3  # lengths uniform in 1…T leave 2/3 of the work; more stretches leave less and take longer
MIN_STEPS = 4  # of a stretch: it has to save more than its start costs
WORTH_IT = 0.9  # of the work of all steps


def run_in_stretches(
    run: Run, inputs: Tensor, state: list[Tensor], mask: Tensor | None, reverse: bool
) -> tuple[Tensor, list[Tensor]]:
    """`run(inputs, state, mask, reverse)`, see `Unroll.forward`, the work of rows saved where the mask lets them rest.

    Rows need not be sorted, and a mask may have holes: a row takes part in a stretch if it has any step in
    it. Only on a CPU: on a GPU rows run side by side, and to look at the mask the CPU would have to wait.
    """
    if mask is None or mask.device.type != "cpu" or len(mask) < 2 * MIN_STEPS:
        return run(inputs, state, mask, reverse)
    sizes = [len(part) for part in mask.split(max(MIN_STEPS, -(-len(mask) // NUM_STRETCHES)))]
    masks = mask.split(sizes)
    rows = [part.any(0).nonzero().squeeze(1) for part in masks]  # that have a step in each
    if sum(size * len(taking) for size, taking in zip(sizes, rows, strict=True)) > WORTH_IT * mask.numel():
        return run(inputs, state, mask, reverse)
    outputs: list[Any] = [None] * len(sizes)
    parts = inputs.split(sizes)
    for k in reversed(range(len(sizes))) if reverse else range(len(sizes)):
        taking = [tensor.index_select(0, rows[k]) for tensor in state]
        result, new = run(parts[k].index_select(1, rows[k]), taking, masks[k].index_select(1, rows[k]), reverse)
        state = [old.index_copy(0, rows[k], changed) for old, changed in zip(state, new, strict=True)]
        outputs[k] = result.new_zeros(sizes[k], mask.shape[1], result.shape[2]).index_copy(1, rows[k], result)
    return torch.cat(outputs), state
