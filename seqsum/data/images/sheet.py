"""Removes the dark table around a sheet of paper, which would be taken for ink."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage import filters, measure

LEAST_AREA = 0.4  # of the image
LEAST_FILL = 0.85  # of its bounding box: a rectangle turned by 4° fills this much, a round digit does not


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
    if sheet.mean() < LEAST_AREA or largest.area_filled < LEAST_FILL * largest.area_bbox or on_border > 0.25:
        return grey
    inside = ndimage.binary_erosion(sheet, iterations=1 + min(grey.shape) // 50)  # without its soft edge
    if not (inside & ~light).any():
        return grey
    nearest = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
    return grey[tuple(nearest)]
