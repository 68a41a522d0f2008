"""Free-running prediction: each prediction is the network's next input."""

from __future__ import annotations

import torch
from torch import Tensor

from seqsum.networks.windows import Stateful


def free_run(network: Stateful, given: Tensor, steps: int) -> Tensor:
    """Read the given samples, then continue them from the network's own predictions.

    The state is carried along, so each new sample costs one step.

    Args:
        network: Predicts the next sample at every step, `(B, T, 1) -> (B, T, 1)`.
        given: `(B, T, 1)`, at least one sample.
        steps: Number of samples to predict, at least one.

    Returns:
        The predicted samples, `(B, steps)`.
    """
    outputs, state = network.run(given)
    samples = [outputs[:, -1:]]  # (B, 1, 1)
    for _ in range(steps - 1):
        outputs, state = network.run(samples[-1], state)
        samples.append(outputs)
    return torch.cat(samples, dim=1).squeeze(-1).float()
