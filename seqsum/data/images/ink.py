"""Finds the ink in drawings, scans and photographs by its contrast to the paper around it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage import filters, measure, morphology, segmentation, transform

from seqsum.data.images.frames import UnreadableError
from seqsum.data.images.rulings import Rulings, erase, find_rulings
from seqsum.data.images.sheet import without_table

SHORT_SIDE = 128, 512  # pixels, range that images are scaled to: below, strokes are jagged; above is only slower
LEAST_SIDE = 5  # pixels of an image
FLAT = 1e-3  # contrast of a smoothed image that rounding, or a pattern of single pixels, leaves
WINDOWS = (24, 16, 11, 8, 5.5, 4, 2.8)  # the short side divided by these: sizes of the window that must hold paper
LEAST_CONTRAST = 0.04  # of ink to the paper around it: 0 is none, 1 is black on white
DARKEST = 0.02  # least light of paper, so that noise in dark places has no contrast
LEAST_STROKE = 3  # pixels, thickness of a stroke: noise and the edges of shadows are thinner
NO_INK = "shows no digit that differs from its paper in brightness"  # blank, grain, or other colours alone
LEAST_DIGIT, LEAST_PIXELS = 0.05, 4  # size of a digit: share of the short side, and pixels of the original image


def find_ink(grey: np.ndarray) -> np.ndarray:
    """Find the ink, dark or light, in grey values `(Y, X)` from 0 to 1; return a mask `(Y', X')` of the rescaled image.

    Raises:
        UnreadableError: There is no ink, or the image is too small.
    """
    if min(grey.shape) < LEAST_SIDE:
        raise UnreadableError(f"has {grey.shape[1]}×{grey.shape[0]} pixels, too few for a digit")
    pixel = max(1.0, SHORT_SIDE[0] / min(grey.shape))
    smooth = filters.gaussian(_rescale(grey), 1)
    if np.ptp(smooth) < FLAT:
        raise UnreadableError(NO_INK)
    grey = _dark_on_light(without_table(smooth))
    dark = grey < filters.threshold_otsu(grey)
    mask = _find_in_drawing(grey, dark) if _is_drawing(grey, dark) else _find_in_photograph(grey)
    if _extent(mask) < max(LEAST_DIGIT * min(grey.shape), LEAST_PIXELS * pixel):
        raise UnreadableError(NO_INK)
    return mask


def stroke_width(mask: np.ndarray) -> float:
    """Return the median thickness of a mask's lines, in pixels; 0 if it is empty."""
    middle = morphology.skeletonize(mask)
    return 2 * float(np.median(ndimage.distance_transform_edt(mask)[middle])) if middle.any() else 0.0


def _rescale(grey: np.ndarray) -> np.ndarray:
    """Scale the short side into `SHORT_SIDE`, by whole factors so that a strip of squares stays one."""
    short, (least, most) = min(grey.shape), SHORT_SIDE
    if short < least:
        return transform.rescale(grey, -(-least // short), order=1)
    factor = -(-short // most)
    height, width = (side // factor * factor for side in grey.shape)
    return transform.downscale_local_mean(grey[:height, :width], (factor, factor))


def _has_even_border(grey: np.ndarray) -> bool:
    """Whether the border has one brightness, except for a few strokes that may touch it."""
    low, high = np.quantile(_border(grey), [0.1, 0.9])
    return bool(high - low < 0.1 * np.ptp(grey))


def _border(grey: np.ndarray) -> np.ndarray:
    return np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])


def _dark_on_light(grey: np.ndarray) -> np.ndarray:
    """Invert the image if its ink is lighter than its background."""
    if _has_even_border(grey):
        is_dark = np.median(_border(grey)) > (grey.min() + grey.max()) / 2
    else:  # strokes differ from their surroundings in one direction only, shadows and light about equally in both
        side = min(grey.shape)
        above = (grey - ndimage.uniform_filter(grey, size, mode="nearest") for size in (side, side // 4))
        is_dark = sum((part**3).mean() / (part**2).mean() ** 1.5 for part in above) < 0
    return grey if is_dark else 1 - grey


def _is_drawing(grey: np.ndarray, dark: np.ndarray) -> bool:
    """Whether Otsu's two classes are ink and paper: the light is even, and the dark class thin, unlike a shadow.

    The light is even if the border is, or if the two classes explain the image by the criterion that Otsu (1979)
    maximises, the share of the variance that lies between them.
    """
    share = dark.mean()
    between = share * (1 - share) * (grey[dark].mean() - grey[~dark].mean()) ** 2
    thickest = 2 * ndimage.distance_transform_edt(dark).max()
    is_even = _has_even_border(grey) or between > 0.87 * grey.var()
    return bool(is_even and thickest < grey.size**0.5 / 2)


def _find_in_drawing(grey: np.ndarray, dark: np.ndarray) -> np.ndarray:
    """Keep pixels that are darker than paper by a third of ink's contrast; half of it would break fine strokes."""
    paper, ink = grey[~dark].mean(), grey[dark].mean()
    mask = grey < paper - (paper - ink) / 3
    return erase(mask, find_rulings(mask))


def _find_in_photograph(grey: np.ndarray) -> np.ndarray:
    """Keep pixels that are darker than the paper around them, in the smallest window wider than whole strokes.

    Larger windows would take shadows for ink.
    """
    sizes = [int(min(grey.shape) / part) | 1 for part in WINDOWS]
    noise = 1.48 * float(np.median(np.abs(grey - filters.gaussian(grey, 3))))  # as a standard deviation
    depth, _ = _look_for_paper(grey, sizes[0])
    rulings = find_rulings(depth > 3 * noise)
    found, reach = np.zeros(grey.shape, dtype=bool), 0
    for size in sizes:
        mask = _find_at(grey, size, noise, rulings)
        is_whole = _extent(found) > 0.1 * min(grey.shape) and reach > 1.8 * stroke_width(found)
        if is_whole and abs(int(mask.sum()) - int(found.sum())) < 0.05 * found.sum():
            break
        found, reach = mask, size
    return found


def _look_for_paper(grey: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Compute how much darker each pixel is than the paper around it, `(Y, X)`, and the same relative to the paper.

    The paper is the morphological closing of the image: it fills dark parts that are narrower than the window and
    leaves the edges of shadows in place.
    """
    padded = ndimage.grey_closing(np.pad(grey, size, mode="edge"), size=(size, size))
    paper = np.maximum(padded[size:-size, size:-size], DARKEST)
    depth = paper - grey
    depth = depth - np.median(depth)  # noise makes the closing slightly too light
    return depth, depth / paper


def _find_at(grey: np.ndarray, size: int, noise: float, rulings: Rulings) -> np.ndarray:
    depth, contrast = _look_for_paper(grey, size)
    mask = erase((depth > 6 * noise) & (contrast > LEAST_CONTRAST), rulings)
    if not mask.any():
        return mask
    mask &= contrast > np.quantile(contrast[mask], 0.8) / 2
    return _keep_strokes(mask, contrast, reach=max(4, size // 6))


def _keep_strokes(mask: np.ndarray, contrast: np.ndarray, reach: int) -> np.ndarray:
    """Drop hairs, and pieces that fade out on one side as shadows do: strokes have a sharp edge all around.

    Args:
        mask: Pixels that may be strokes.
        contrast: Contrast of each pixel to the paper.
        reach: Pixels within which even a blurred edge must show.
    """
    labels = measure.label(mask)
    count = labels.max() + 1
    thickest = 2 * ndimage.maximum(ndimage.distance_transform_edt(mask), labels, np.arange(count))
    outside = ndimage.uniform_filter((~mask).astype(float), 2 * reach + 1)
    beyond = ndimage.uniform_filter(contrast * ~mask, 2 * reach + 1) / np.maximum(outside, 1e-6)
    typical = _sum(contrast, labels, count) / _sum(mask, labels, count)
    rim = segmentation.find_boundaries(labels, mode="inner")
    rim[[0, -1]] = rim[:, [0, -1]] = False  # strokes may continue beyond the image
    has_edge = contrast - beyond > typical[labels] / 4
    sharp = _sum(rim & has_edge, labels, count) / _sum(rim, labels, count)
    return mask & ((thickest >= LEAST_STROKE) & (sharp >= 0.75))[labels]


def _sum(values: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Sum the values of each label; at least a tiny number, so that one can divide by it."""
    return np.maximum(np.bincount(labels.ravel(), weights=values.ravel(), minlength=count), 1e-6)


def _extent(mask: np.ndarray) -> int:
    """Return the larger side of the largest connected piece, in pixels."""
    boxes = [part.bbox for part in measure.regionprops(measure.label(mask))]
    return max((max(bottom - top, right - left) for top, left, bottom, right in boxes), default=0)
