"""The same module at every time step, as one call."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

PIECE = 4096  # inputs at a time where no gradient is wanted, which bounds the memory


class TimeDistributed(nn.Module):
    """Folds time into the batch, so that a module for single inputs serves sequences of them.

    One call on `B·T` inputs is what makes it fast; batch normalisation then sees all steps at once, and none that
    the mask leaves out.

    Args:
        module: Maps `(N, …)` to `(N, F)`.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """Inputs `(B, T, …)`, mask `(B, T)` -> `(B, T, F)`; features of masked steps mean nothing, but are finite."""
        if mask is None:
            return self._encode(inputs.flatten(0, 1)).unflatten(0, inputs.shape[:2])  # (B, T, F)
        if self.training and any(isinstance(part, _BatchNorm) for part in self.module.modules()):
            valid = self._encode(inputs[mask])  # (N, F)
            return valid.new_zeros(*mask.shape, valid.shape[-1]).masked_scatter(mask.unsqueeze(-1), valid)
        # to select the valid steps, a GPU's host would have to wait until it knows how many there are
        left_out = ~mask.view(*mask.shape, *[1] * (inputs.dim() - 2))
        return self.forward(inputs.masked_fill(left_out, 0))

    def _encode(self, steps: Tensor) -> Tensor:
        """Inputs `(N, …)` -> features `(N, F)`."""
        if self.training or torch.is_grad_enabled() or len(steps) <= PIECE:
            return self.module(steps)
        return torch.cat([self.module(piece) for piece in steps.split(PIECE)])
