"""What several processes compute together, so that it is what one would."""

from __future__ import annotations

import torch
from torch import Tensor, distributed


def of_all_processes(mean: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """A mean over one process's share of a batch as a part of that over the whole batch.

    Strategies average the gradients of the processes as if all had the same share. But of a short last batch one
    may have fewer rows or none, and masks leave out what they like. Each process's mean is therefore weighted by
    its count; the average over the processes is then the mean over everything. One small message a batch.

    Args:
        mean: Scalar, of this process; any value where `count` is 0, as long as it is finite.
        count: Scalar, of what it is the mean.

    Returns:
        What this process has to differentiate, and the mean over all processes, detached. Both are `mean` where
        there is but one.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return mean, mean.detach()
    sums = torch.stack([mean.detach() * count, count.to(mean)])
    distributed.all_reduce(sums)
    total, count_of_all = sums[0], sums[1].clamp(min=1)
    return mean * (distributed.get_world_size() * count / count_of_all), total / count_of_all
