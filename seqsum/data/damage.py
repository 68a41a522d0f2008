"""Random damage to a batch's images, by numbers that depend on the batch alone."""

from __future__ import annotations

import torch
from torch import Tensor

from seqsum.data.counter_random import random_uniform
from seqsum.data.index_tables import IndexBatch

UNUSED = 2**24  # rows of random numbers from here on are not those that warp images
GREY = 0.5  # of a hole


def add_noise(pixels: Tensor, batch: IndexBatch, share: float) -> Tensor:
    """Set a share of all numbers to 0 or 1, each equally often: salt-and-pepper noise (Vincent et al., 2010).

    Args:
        pixels: Images `(N, C, Y, X)` from 0 to 1, of this process's share of the batch.
        batch: The index table.
        share: Probability that a number is replaced.
    """
    numbers = torch.arange(pixels[0].numel(), device=pixels.device)
    rows = UNUSED + batch.places(pixels.device).unsqueeze(1) * len(numbers) + numbers  # (N, C·Y·X)
    drawn = random_uniform(batch.seed, rows.flatten(), 1).view_as(pixels)  # from -1 to 1
    return torch.where(drawn >= 1 - share, 1.0, torch.where(drawn < share - 1, 0.0, pixels))


def holes(pixels: Tensor, batch: IndexBatch, side: int) -> Tensor:
    """Draw a square for each image: bool `(N, 1, Y, X)`, True inside.

    Args:
        pixels: Images `(N, C, Y, X)`, of this process's share of the batch.
        batch: The index table.
        side: Rows and columns of the square, at most those of the image.
    """
    size = pixels.shape[-1]
    drawn = random_uniform(batch.seed, UNUSED + batch.places(pixels.device), 2)  # (N, 2)
    starts = ((drawn + 1) / 2 * (size - side + 1)).long().unsqueeze(-1)  # (N, 2, 1), uniform from 0 to size - side
    places = torch.arange(size, device=pixels.device)
    inside = (places >= starts) & (places < starts + side)  # (N, 2, size)
    return (inside[:, 0, :, None] & inside[:, 1, None, :]).unsqueeze(1)
