"""Random changes of a batch's training images, by numbers that depend on the batch alone."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from seqsum.data.counter_random import random_uniform
from seqsum.data.index_tables import IndexBatch
from seqsum.data.warps import AFFINE_NUMBERS, ELASTIC_NUMBERS, random_affine, random_elastic, warp


def augment(
    pixels: Tensor,
    batch: IndexBatch,
    elastic: float = 0.0,
    flip: bool = False,
    outside: Literal["zeros", "border"] = "zeros",
) -> Tensor:
    """Warp each square image `(N, C, Y, Y)`, and mirror half of them, by random numbers of the batch.

    The numbers depend on the batch's seed and on the image's place in the batch. The place counts the images of all
    processes, so the number of processes changes nothing.

    Args:
        pixels: Images of this process's share of the batch.
        batch: The index table.
        elastic: Largest elastic displacement, in pixels (Simard et al., 2003).
        flip: Whether to mirror left and right, each image with a probability of one half.
        outside: What is outside of an image, see `warp`.
    """
    draws = AFFINE_NUMBERS + (ELASTIC_NUMBERS if elastic else 0) + int(flip)
    numbers = random_uniform(batch.seed, batch.places(pixels.device), draws)
    size = pixels.shape[-1]
    affine = random_affine(numbers[:, :AFFINE_NUMBERS], size=size)
    if flip:
        mirrored = 1 - 2 * (numbers[:, -1:] < 0).to(affine)  # (N, 1)
        affine = torch.stack([affine[:, 0] * mirrored, affine[:, 1]], dim=1)
    displacement = None
    if elastic:
        knots = numbers[:, AFFINE_NUMBERS : AFFINE_NUMBERS + ELASTIC_NUMBERS]
        displacement = random_elastic(knots, strength=elastic, size=size)
    return warp(pixels, affine, displacement, size=size, outside=outside)
