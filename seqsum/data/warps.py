"""Random geometric warps of a whole batch of images at once, on whatever device the images are."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

KNOTS = 4  # of an elastic displacement, in each direction
AFFINE_NUMBERS = 6  # random numbers for an image's affine map
ELASTIC_NUMBERS = 2 * KNOTS**2  # and for its elastic displacement


def random_affine(
    numbers: Tensor,
    *,
    rotation: float = 15.0,
    scale: float = 0.12,
    shear: float = 0.2,
    shift: float = 2.0,
    size: int = 28,
) -> Tensor:
    """Affine maps `(N, 2, 3)` from places in the new image to places in the old, both from -1 to 1.

    The same on every device but for the last bit, which sine and cosine round differently.

    Args:
        numbers: Random numbers from -1 to 1, `(N, 6)`: rotation, changes of width and height, shear, shifts in x
            and y, as shares of the largest.
        rotation: Largest rotation, degrees either way.
        scale: Largest relative change of width and of height.
        shear: Largest horizontal shear, pixels a pixel.
        shift: Largest shift in each direction, pixels.
        size: Rows and columns of the image, the unit of `shift`.
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
    """Smooth displacements `(N, Y, X, 2)`, interpolated from those of the knots of a 4×4 grid.

    Args:
        numbers: Random numbers from -1 to 1, `(N, 32)`: the knots' shifts in x, then those in y.
        strength: Largest displacement in each direction, pixels.
        size: Rows and columns of the image, the unit of `strength`.
    """
    limit = 2 * strength / size
    coarse = (numbers * limit).unflatten(1, (2, KNOTS, KNOTS))
    fine = F.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=True)
    # bicubic interpolation exceeds the limit between the knots
    return fine.clamp(-limit, limit).permute(0, 2, 3, 1)


def warp(images: Tensor, affine: Tensor, displacement: Tensor | None = None, size: int = 28) -> Tensor:
    """Resample float images `(N, 1, Y, X)` along the maps -> `(N, 1, size, size)`; black comes in from outside."""
    # torch.nn.functional.affine_grid gives the same grid, but as many small products: 20 times as long on a CPU
    centres = torch.arange(1, 2 * size, 2, device=images.device) / size - 1  # of the pixels
    x, y = centres.expand(size, size), centres.unsqueeze(1).expand(size, size)
    places = torch.stack([x, y, torch.ones_like(x)]).flatten(1)  # (3, Y·X)
    grid = (affine.to(images).reshape(-1, 3) @ places).view(-1, 2, size, size).permute(0, 2, 3, 1)  # (N, Y, X, 2)
    if displacement is not None:
        grid = grid + displacement.to(images)
    return F.grid_sample(images, grid, padding_mode="zeros", align_corners=False)
