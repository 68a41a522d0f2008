"""Applies a module to all time steps in one call."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

PIECE = 4096  # inputs per call if no gradient is needed, which limits memory


class TimeDistributed(nn.Module):
    """Folds time into the batch, to apply a module for single inputs to sequences.

    One call on `B·T` inputs is faster than `T` calls. Batch normalisation sees all valid steps together and no
    masked ones.

    Args:
        module: Maps `(N, …)` to `(N, F)`.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map inputs `(B, T, …)` and mask `(B, T)` to features `(B, T, F)`, meaningless but finite at masked steps."""
        if mask is None:
            return self._encode(inputs.flatten(0, 1)).unflatten(0, inputs.shape[:2])  # (B, T, F)
        if any(isinstance(part, _BatchNorm) and part.training for part in self.module.modules()):
            valid = self._encode(inputs[mask])  # (N, F)
            return valid.new_zeros(*mask.shape, valid.shape[-1]).masked_scatter(mask.unsqueeze(-1), valid)
        # not inputs[mask], for which the host would wait for the GPU to count the valid steps
        left_out = ~mask.view(*mask.shape, *[1] * (inputs.dim() - 2))
        return self.forward(inputs.masked_fill(left_out, 0))

    def _encode(self, steps: Tensor) -> Tensor:
        """Apply the module to inputs `(N, …)`; return features `(N, F)`."""
        any_number = torch.compiler.is_compiling()  # of steps, in a graph
        if self.training or torch.is_grad_enabled() or any_number or len(steps) <= PIECE:
            return self.module(steps)
        return torch.cat([self.module(piece) for piece in steps.split(PIECE)])
