"""A network that hears itself: each prediction is its next input."""

from __future__ import annotations

import torch
from torch import Tensor

from seqsum.networks.windows import Stateful


def free_run(network: Stateful, given: Tensor, steps: int) -> Tensor:
    """Read what is given, then go on by predictions alone.

    The state is carried along, so that every step costs as much as one step.

    Args:
        network: Predicts the next sample at every step, `(B, T, 1) -> (B, T, 1)`.
        given: `(B, T, 1)`, at least one sample.
        steps: To go on by, at least one.

    Returns:
        The samples after the given ones, `(B, steps)`.
    """
    outputs, state = network.run(given)
    samples = [outputs[:, -1:]]  # (B, 1, 1)
    for _ in range(steps - 1):
        outputs, state = network.run(samples[-1], state)
        samples.append(outputs)
    return torch.cat(samples, dim=1).squeeze(-1).float()
