"""Random geometric warps of a whole batch of images at once, on whatever device the images are."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def uniform(shape: tuple[int, ...], limit: float, generator: torch.Generator) -> Tensor:
    """Numbers drawn evenly from `[-limit, limit]`."""
    return (2 * torch.rand(shape, generator=generator) - 1) * limit


def random_affine(
    count: int,
    generator: torch.Generator,
    *,
    rotation: float = 15.0,
    scale: float = 0.12,
    shear: float = 0.2,
    shift: float = 2.0,
    size: int = 28,
    kept: Tensor | None = None,
) -> Tensor:
    """Affine maps `(N, 2, 3)` from places in the new image to places in the old, both from -1 to 1.

    Args:
        count: Maps to draw, `N`.
        generator: Source of the random numbers (on the CPU: the few numbers are drawn there, so that
            every device warps alike).
        rotation: Largest rotation, degrees either way.
        scale: Largest relative change of width and of height, each drawn on its own.
        shear: Largest horizontal shear, pixels a pixel.
        shift: Largest shift in each direction, pixels.
        size: Rows and columns of the image, the unit of `shift`.
        kept: Which of those drawn are wanted, numbers; None for all.
    """
    angle = uniform((count,), math.radians(rotation), generator)
    stretch_x, stretch_y = 1 + uniform((2, count), scale, generator)
    slant = uniform((count,), shear, generator)
    shift_x, shift_y = uniform((2, count), 2 * shift / size, generator)  # the image is 2 wide
    cosine, sine = angle.cos(), angle.sin()
    row_x = torch.stack([stretch_x * cosine, slant * cosine - stretch_y * sine, shift_x], dim=1)
    row_y = torch.stack([stretch_x * sine, slant * sine + stretch_y * cosine, shift_y], dim=1)
    maps = torch.stack([row_x, row_y], dim=1)  # (N, 2, 3)
    return maps if kept is None else maps[kept]


def random_elastic(
    count: int, generator: torch.Generator, *, strength: float, size: int = 28, kept: Tensor | None = None
) -> Tensor:
    """Smooth displacements `(N, Y, X, 2)` of up to `strength` pixels, drawn on a 4×4 grid; `kept` as above."""
    coarse = uniform((count, 2, 4, 4), 2 * strength / size, generator)
    coarse = coarse if kept is None else coarse[kept]
    fine = F.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=True)
    limit = 2 * strength / size  # which bicubic interpolation exceeds between the knots
    return fine.clamp(-limit, limit).permute(0, 2, 3, 1)


def warp(images: Tensor, affine: Tensor, displacement: Tensor | None = None, size: int = 28) -> Tensor:
    """Resample float images `(N, 1, Y, X)` along the maps -> `(N, 1, size, size)`; black comes in from outside."""
    # torch.nn.functional.affine_grid gives the same grid, but as many small products: 20 times as long on a CPU
    centres = (2 * torch.arange(size, device=images.device) + 1) / size - 1
    places = torch.stack([centres.repeat(size), centres.repeat_interleave(size), torch.ones_like(centres).repeat(size)])
    grid = (affine.to(images).reshape(-1, 3) @ places).view(-1, 2, size, size).permute(0, 2, 3, 1)  # (N, Y, X, 2)
    if displacement is not None:
        grid = grid + displacement.to(images)
    return F.grid_sample(images, grid, padding_mode="zeros", align_corners=False)
