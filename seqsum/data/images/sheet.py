"""Removes the dark table around a sheet of paper, which would be taken for ink."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage
from skimage import filters, measure

LEAST_AREA = 0.4  # of the image
LEAST_FILL = 0.85  # of its bounding box: a rectangle turned by 4° fills this much, a round digit does not
MOST_INK = 0.35  # of its area: more is the hole of a light digit with square corners, such as the 0 of a clock
# A smaller one has to look more like a sheet
LEAST_AREA_OF_SMALL = 0.08
LEAST_FILL_OF_SMALL = 0.95
MOST_EXTENT = 0.7  # of a pen's mark in its bounding box; a hole with square corners fills it


def without_table(grey: np.ndarray) -> np.ndarray:
    """Extend a light sheet, if there is one, to the border of the grey values `(Y, X)`.

    A sheet is a light rectangle that has something dark on it and is surrounded by dark.
    """
    light = grey > filters.threshold_otsu(grey)
    parts = measure.regionprops(measure.label(light))
    largest = max(parts, key=lambda part: part.area_filled)
    sheet = np.zeros(grey.shape, dtype=bool)
    sheet[largest.slice] = largest.image_filled
    on_border = np.concatenate([sheet[0], sheet[-1], sheet[:, 0], sheet[:, -1]]).mean()
    area, fill = sheet.mean(), largest.area_filled / largest.area_bbox
    is_large = area >= LEAST_AREA and fill >= LEAST_FILL
    is_small = area >= LEAST_AREA_OF_SMALL and fill >= LEAST_FILL_OF_SMALL and _is_written_on(largest)
    ink = 1 - largest.area / largest.area_filled
    if not (is_large or is_small) or ink > MOST_INK or on_border > 0.25:
        return grey
    inside = ndimage.binary_erosion(sheet, iterations=1 + min(grey.shape) // 50)  # without its soft edge
    if not (inside & ~light).any():
        return grey
    nearest = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
    return grey[tuple(nearest)]


def _is_written_on(light: Any) -> bool:
    """Whether a light region has a hole that is a pen's mark, and no rectangle."""
    holes = measure.regionprops(measure.label(light.image_filled & ~light.image))
    return any(hole.extent <= MOST_EXTENT for hole in holes)
