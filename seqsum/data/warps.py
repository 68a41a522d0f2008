"""Random geometric warps of a whole batch of images at once, on the images' device."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

KNOTS = 4  # per direction, of an elastic displacement's grid
AFFINE_NUMBERS = 6  # random numbers per image for its affine map
ELASTIC_NUMBERS = 2 * KNOTS**2  # random numbers per image for its elastic displacement


def random_affine(
    numbers: Tensor,
    *,
    rotation: float = 15.0,
    scale: float = 0.12,
    shear: float = 0.2,
    shift: float = 2.0,
    size: int = 28,
) -> Tensor:
    """Make affine maps `(N, 2, 3)` from places in the new image to places in the old one, both from -1 to 1.

    They are the same on every device up to the last bit, which sine and cosine round differently.

    Args:
        numbers: Random numbers from -1 to 1, `(N, 6)`: rotation, changes of width and height, shear, shifts in x
            and y, each relative to its largest value.
        rotation: Largest rotation in either direction, in degrees.
        scale: Largest relative change of width and of height.
        shear: Largest horizontal shear, in pixels per pixel.
        shift: Largest shift in each direction, in pixels.
        size: Rows and columns of the image, to convert `shift` from pixels.
    """
    angle = numbers[:, 0] * math.radians(rotation)
    stretch_x, stretch_y = (1 + numbers[:, 1:3] * scale).unbind(1)
    slant = numbers[:, 3] * shear
    shift_x, shift_y = (numbers[:, 4:] * (2 * shift / size)).unbind(1)  # the image is 2 wide
    cosine, sine = angle.cos(), angle.sin()
    row_x = stretch_x * cosine, slant * cosine - stretch_y * sine, shift_x
    row_y = stretch_x * sine, slant * sine + stretch_y * cosine, shift_y
    return torch.stack([*row_x, *row_y], dim=1).unflatten(1, (2, 3))


def random_elastic(numbers: Tensor, *, strength: float, size: int = 28) -> Tensor:
    """Make smooth displacements `(N, Y, X, 2)`, interpolated from a 4×4 grid of knots.

    Args:
        numbers: Random numbers from -1 to 1, `(N, 32)`: the knots' shifts in x, then in y.
        strength: Largest displacement in each direction, in pixels.
        size: Rows and columns of the image, to convert `strength` from pixels.
    """
    limit = 2 * strength / size
    coarse = (numbers * limit).unflatten(1, (2, KNOTS, KNOTS))
    fine = F.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=True)
    # bicubic interpolation may exceed the limit between the knots
    return fine.clamp(-limit, limit).permute(0, 2, 3, 1)


def warp(
    images: Tensor,
    affine: Tensor,
    displacement: Tensor | None = None,
    size: int = 28,
    outside: Literal["zeros", "border"] = "zeros",
) -> Tensor:
    """Resample float images `(N, C, Y, X)` by affine maps and displacements into `(N, C, size, size)`.

    Places outside of an image are black, 0, or like the pixel on its border.
    """
    # torch.nn.functional.affine_grid gives the same grid, but by many small products: 20 times slower on a CPU
    centres = torch.arange(1, 2 * size, 2, device=images.device) / size - 1  # of the pixels
    x, y = centres.expand(size, size), centres.unsqueeze(1).expand(size, size)
    places = torch.stack([x, y, torch.ones_like(x)]).flatten(1)  # (3, Y·X)
    grid = (
        (affine.to(images.device).reshape(-1, 3) @ places).view(-1, 2, size, size).permute(0, 2, 3, 1)
    )  # (N, Y, X, 2)
    if displacement is not None:
        grid = grid + displacement.to(images)
    if outside == "border":  # pad by places: before torch 2.13, Apple's GPUs know no other padding than zeros
        ends = (1 - 1 / side for side in (images.shape[-1], images.shape[-2]))  # of x and y: the last pixels' centres
        grid = torch.stack([axis.clamp(-end, end) for axis, end in zip(grid.unbind(-1), ends, strict=True)], dim=-1)
    sampled = images if images.dtype == torch.float64 else images.float()  # 16 bits are too few for places
    return F.grid_sample(sampled, grid.to(sampled.dtype), padding_mode="zeros", align_corners=False).to(images.dtype)
