"""A sheet of paper on a dark table, of which the table is no ink."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage import filters, measure

LEAST_AREA = 0.4  # of the image
LEAST_FILL = 0.85  # of its upright box: a rectangle turned by 4° fills so much, a round digit does not


def without_table(grey: np.ndarray) -> np.ndarray:
    """Grey values `(Y, X)` with the paper of a light sheet continued to the border, where there is one.

    A sheet is a light rectangle with something dark on it, and dark all around it.
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
