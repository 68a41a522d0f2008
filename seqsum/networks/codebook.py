"""A codebook: features of which each image activates few, and normalisation that accepts single images."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seqsum.errors import check_choice

Activation = Literal["relu", "softmax", "choice", "logits"]


class _BatchNorm(nn.modules.batchnorm._BatchNorm):
    """BatchNorm that also accepts a single value per channel, normalised as in evaluation; torch raises an error.

    An epoch's last batch, or a process's share of it, may be a single image or none. With at most one value per
    channel, the running statistics stay as they are.
    """

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or values.numel() > self.num_features:
            return super().forward(values)
        return F.batch_norm(values, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


class BatchNorm1d(_BatchNorm, nn.BatchNorm1d):
    """BatchNorm1d that also accepts a single value per channel."""


class BatchNorm2d(_BatchNorm, nn.BatchNorm2d):
    """BatchNorm2d that also accepts a single value per channel."""


class Codebook(nn.Module):
    """Normalises, sharpens and softmaxes features `(N, F)`, scaled to about the size of ReLU features.

    An image that might be a 4 or a 9 gives a mixture of both codes, and what a recurrence adds for it is a mixture too,
    which is always wrong. A codebook that chooses gives the largest code alone. In training it does so for a random
    half of the images, and the gradient passes straight through the choice (Bengio et al., 2013); the other half keeps
    the mixture, which tells the encoder what the other codes would have given. With a choice for every image, few codes
    stay in use, and the network reads worse.

    Args:
        size: Features, `F`.
        gives: What it gives: `softmax`, the mixture; `choice`; or `logits`, of which the mixture is the softmax.
    """

    sharpness = 6.0  # initial value; the best of 1, 3, 6 and 12
    scale = 10.0
    chosen = 0.5  # share of the training images for which it chooses

    def __init__(self, size: int, gives: Activation) -> None:
        super().__init__()
        check_choice("gives", gives, Activation)
        self.gives: Activation = gives
        self.norm = BatchNorm1d(size)
        nn.init.constant_(self.norm.weight, self.sharpness)

    def forward(self, features: Tensor) -> Tensor:
        if self.gives == "logits":
            return self.norm(features)
        shares = self.shares(features)
        return self.scale * (self._choose(shares) if self.gives == "choice" else shares)

    def shares(self, features: Tensor) -> Tensor:
        """Compute each code's share, before any choice: `(N, F)` -> `(N, F)`."""
        return torch.softmax(self.norm(features), dim=-1)

    def _choose(self, shares: Tensor) -> Tensor:
        """Give the code with the largest share `(N, F)` all of it, in training for some images only."""
        # not one_hot, for which the host would wait for the device to check the codes
        largest = torch.zeros_like(shares).scatter(-1, shares.argmax(-1, keepdim=True), 1.0)
        if not self.training:
            return largest
        chosen = torch.rand_like(shares[:, :1]) < self.chosen
        return shares + (chosen * (largest - shares)).detach()
