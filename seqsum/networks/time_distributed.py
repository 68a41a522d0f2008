"""The same module at every time step, as one call."""

import torch
from torch import Tensor, nn

PIECE = 4096  # inputs at a time where no gradient is wanted, which bounds the memory


class TimeDistributed(nn.Module):
    """Folds time into the batch, so that a module for single inputs serves sequences of them.

    One call on `B·T` inputs is what makes it fast; batch normalisation then sees all steps at once.

    Args:
        module: Maps `(N, …)` to `(N, F)`.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, inputs: Tensor) -> Tensor:
        """`(B, T, …)` -> `(B, T, F)`."""
        steps = inputs.flatten(0, 1)  # (B·T, …)
        if self.training or torch.is_grad_enabled() or len(steps) <= PIECE:
            features = self.module(steps)  # (B·T, F)
        else:
            features = torch.cat([self.module(piece) for piece in steps.split(PIECE)])  # (B·T, F)
        return features.unflatten(0, inputs.shape[:2])  # (B, T, F)
