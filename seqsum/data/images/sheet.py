"""Removes the dark table around a sheet of paper, which would be taken for ink."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage
from skimage import filters, measure

LEAST_AREA = 0.4  # of the image
LEAST_FILL = 0.85  # of its bounding box: a rectangle turned by 4° fills this much, a round digit does not
# A smaller one has to look more like a sheet
LEAST_SMALL = 0.08
LEAST_FILL_OF_SMALL = 0.95
# A light digit with square corners, such as the 0 of a clock, has holes that fill more of their bounding boxes than a
# pen's marks do, and, if it is large, more of its area
MOST_EXTENT = 0.7
MOST_HOLE = 0.35
LEAST_MARK = 0.002  # of the sheet; less is a speck


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
    holes = 1 - largest.area / largest.area_filled
    is_large, is_small = area >= LEAST_AREA and fill >= LEAST_FILL, area >= LEAST_SMALL and fill >= LEAST_FILL_OF_SMALL
    signs = (holes <= MOST_HOLE, _is_written_on(largest))
    if not ((is_large and any(signs)) or (is_small and all(signs))) or on_border > 0.25:
        return grey
    inside = ndimage.binary_erosion(sheet, iterations=1 + min(grey.shape) // 50)  # without its soft edge
    if not (inside & ~light).any():
        return grey
    nearest = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
    return grey[tuple(nearest)]


def _is_written_on(light: Any) -> bool:
    """Whether a light region has a hole that is a pen's mark, and no rectangle."""
    holes = measure.regionprops(measure.label(light.image_filled & ~light.image))
    least = LEAST_MARK * light.area_filled
    return any(hole.extent <= MOST_EXTENT and hole.area >= least for hole in holes)
