"""Damaged images, what a network restores, and the images as they were, one below the other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from seqsum.figures.style import INK, common_style, new_page, paste, shown

SIDE, GAP = 0.5, 0.06  # inches: of an image, and between two
NAMES = 0.75  # inches, for the names of the rows


@common_style
def plot_restored(images: Mapping[str, Tensor]) -> Figure:
    """Draw a row of images for each name.

    Args:
        images: Images of each row, `(N, C, Y, X)` from 0 to 1, in grey or in three colours. Grey ones are drawn black
            on white, all on the same scale.
    """
    count = len(next(iter(images.values())))
    figure, axes = new_page(NAMES + (SIDE + GAP) * count + GAP, (SIDE + GAP) * len(images) + GAP)
    for row, (name, of_row) in enumerate(images.items()):
        top = GAP + row * (SIDE + GAP)
        axes.text(NAMES - 0.1, top + SIDE / 2, name, fontsize=8, color=INK, ha="right", va="center")
        for place, image in enumerate(of_row):
            paste(axes, _picture(image), NAMES + place * (SIDE + GAP), top, SIDE, SIDE)
    return figure


def _picture(image: Tensor) -> np.ndarray:
    """Turn an image `(C, Y, X)` from 0 to 1 into colours `(Y, X, 3)`; not scaled, so that rows can be compared."""
    pixels = shown(image).clamp(0, 1).permute(1, 2, 0).numpy()
    return pixels if pixels.shape[-1] == 3 else np.repeat(1 - pixels, 3, axis=-1)
