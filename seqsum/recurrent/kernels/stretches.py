"""Save the work on padding: split the time axis into stretches, and drop rows that are fully masked in one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from seqsum.recurrent.unroll import Runner

NUM_STRETCHES = 3  # for lengths uniform in 1…T, 2/3 of the work remains; more stretches save work but no time
MIN_STEPS = 4  # in a stretch: it must save more than starting it costs
WORTH_IT = 0.9  # split only if at most this share of the work remains


def run_in_stretches(
    run: Runner, inputs: Tensor, state: list[Tensor], mask: Tensor | None, reverse: bool
) -> tuple[Tensor, list[Tensor]]:
    """Call `run(inputs, state, mask, reverse)`, see `Unroll.forward`, for each stretch, without fully masked rows.

    Rows needn't be sorted, and a mask may have holes: a row runs in every stretch in which it has a valid step. Only
    CPUs split: on a GPU rows run in parallel, and reading the mask would make the CPU wait.
    """
    if mask is None or mask.device.type != "cpu" or len(mask) < 2 * MIN_STEPS:
        return run(inputs, state, mask, reverse)
    sizes = [len(part) for part in mask.split(max(MIN_STEPS, -(-len(mask) // NUM_STRETCHES)))]
    masks = mask.split(sizes)
    rows = [part.any(0).nonzero().squeeze(1) for part in masks]  # with a valid step in each stretch
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
