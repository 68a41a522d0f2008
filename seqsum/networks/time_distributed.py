"""The same module at every time step, as one call."""

from torch import Tensor, nn


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
        features = self.module(inputs.flatten(0, 1))  # (B·T, F)
        return features.unflatten(0, inputs.shape[:2])  # (B, T, F)
