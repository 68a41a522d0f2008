"""Which pixels of a drawing, a scan or a photograph are ink: local contrast, whatever light and paper are like."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage import filters, measure, morphology, segmentation, transform

from seqsum.data.images.frames import UnreadableError
from seqsum.data.images.rulings import Rulings, erase, find_rulings
from seqsum.data.images.sheet import without_table

SHORT_SIDE = 128, 512  # pixels that images are scaled to: fewer leave jagged strokes, more only take longer
LEAST_SIDE = 5  # pixels of an image
WINDOWS = (24, 16, 11, 8, 5.5, 4, 2.8)  # parts of the short side in which paper is looked for
LEAST_CONTRAST = 0.04  # of ink to the paper around it: 0 is none, 1 is black on white
DARKEST = 0.02  # light of paper, so that noise in the dark is none
LEAST_STROKE = 3  # pixels: noise and the edges of shadows leave thinner ones
LEAST_DIGIT, LEAST_PIXELS = 0.05, 4  # of the short side, and of the image


def find_ink(grey: np.ndarray) -> np.ndarray:
    """Grey values `(Y, X)` from 0 to 1 -> mask `(Y', X')` of the ink, dark or light, on a scale of its own.

    Raises:
        UnreadableError: There is none, or the image is too small for any.
    """
    if min(grey.shape) < LEAST_SIDE:
        raise UnreadableError(f"has {grey.shape[1]}×{grey.shape[0]} pixels, too few for a digit")
    if np.ptp(grey) == 0:
        raise UnreadableError("is blank")
    pixel = max(1.0, SHORT_SIDE[0] / min(grey.shape))
    grey = _dark_on_light(without_table(filters.gaussian(_rescale(grey), 1)))
    dark = grey < filters.threshold_otsu(grey)
    mask = _find_in_drawing(grey, dark) if _is_drawing(grey, dark) else _find_in_photograph(grey)
    if _extent(mask) < max(LEAST_DIGIT * min(grey.shape), LEAST_PIXELS * pixel):
        raise UnreadableError("is blank")
    return mask


def stroke_width(mask: np.ndarray) -> float:
    """Median thickness of the lines of a mask, in pixels; 0 if it is empty."""
    middle = morphology.skeletonize(mask)
    return 2 * float(np.median(ndimage.distance_transform_edt(mask)[middle])) if middle.any() else 0.0


def _rescale(grey: np.ndarray) -> np.ndarray:
    """By whole factors, so that squares side by side stay squares."""
    short, (least, most) = min(grey.shape), SHORT_SIDE
    if short < least:
        return transform.rescale(grey, -(-least // short), order=1)
    factor = -(-short // most)
    height, width = (side // factor * factor for side in grey.shape)
    return transform.downscale_local_mean(grey[:height, :width], (factor, factor))


def _has_even_border(grey: np.ndarray) -> bool:
    """Whether there is one ground all around, but for a few strokes that may touch the border."""
    low, high = np.quantile(_border(grey), [0.1, 0.9])
    return bool(high - low < 0.1 * np.ptp(grey))


def _border(grey: np.ndarray) -> np.ndarray:
    return np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])


def _dark_on_light(grey: np.ndarray) -> np.ndarray:
    """Light ink on a dark ground is inverted."""
    if _has_even_border(grey):
        is_dark = np.median(_border(grey)) > (grey.min() + grey.max()) / 2
    else:  # strokes stand out of what is around them to one side, shadows and light as far to the other
        side = min(grey.shape)
        above = (grey - ndimage.uniform_filter(grey, size, mode="nearest") for size in (side, side // 4))
        is_dark = sum((part**3).mean() / (part**2).mean() ** 1.5 for part in above) < 0
    return grey if is_dark else 1 - grey


def _is_drawing(grey: np.ndarray, dark: np.ndarray) -> bool:
    """Whether Otsu's two classes are ink and paper: the dark one is thin, as no shadow is, and light is even.

    It is if the border says so, or if the classes explain the image, by the criterion that Otsu (1979) maximises: the
    variance between them, of the whole.
    """
    share = dark.mean()
    between = share * (1 - share) * (grey[dark].mean() - grey[~dark].mean()) ** 2
    thickest = 2 * ndimage.distance_transform_edt(dark).max()
    is_even = _has_even_border(grey) or between > 0.87 * grey.var()
    return bool(is_even and thickest < grey.size**0.5 / 2)


def _find_in_drawing(grey: np.ndarray, dark: np.ndarray) -> np.ndarray:
    """What is darker than paper by a third of what ink is: half would break fine strokes."""
    paper, ink = grey[~dark].mean(), grey[dark].mean()
    mask = grey < paper - (paper - ink) / 3
    return erase(mask, find_rulings(mask))


def _find_in_photograph(grey: np.ndarray) -> np.ndarray:
    """What is darker than the paper around it, by the smallest window that reaches across whole strokes.

    With larger windows shadows are taken for ink.
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
    """How much darker each pixel is than the paper around it, `(Y, X)`; and that as a share of the paper's light.

    The paper is the closing of the image: what is dark and narrower than the window is filled, while the edges of
    shadows stay where they are.
    """
    padded = ndimage.grey_closing(np.pad(grey, size, mode="edge"), size=(size, size))
    paper = np.maximum(padded[size:-size, size:-size], DARKEST)
    depth = paper - grey
    depth = depth - np.median(depth)  # noise alone makes the closing a bit too light
    return depth, depth / paper


def _find_at(grey: np.ndarray, size: int, noise: float, rulings: Rulings) -> np.ndarray:
    depth, contrast = _look_for_paper(grey, size)
    mask = erase((depth > 6 * noise) & (contrast > LEAST_CONTRAST), rulings)
    if not mask.any():
        return mask
    mask &= contrast > np.quantile(contrast[mask], 0.8) / 2
    return _keep_strokes(mask, contrast, reach=max(4, size // 6))


def _keep_strokes(mask: np.ndarray, contrast: np.ndarray, reach: int) -> np.ndarray:
    """Without hairs, and without what fades on one side, as shadows do: strokes have an edge all around.

    Args:
        mask: Of what may be strokes.
        contrast: To the paper.
        reach: Pixels in which an edge, however blurred, must have an effect.
    """
    labels = measure.label(mask)
    count = labels.max() + 1
    thickest = 2 * ndimage.maximum(ndimage.distance_transform_edt(mask), labels, np.arange(count))
    outside = ndimage.uniform_filter((~mask).astype(float), 2 * reach + 1)
    beyond = ndimage.uniform_filter(contrast * ~mask, 2 * reach + 1) / np.maximum(outside, 1e-6)
    typical = _sum(contrast, labels, count) / _sum(mask, labels, count)
    rim = segmentation.find_boundaries(labels, mode="inner")
    rim[[0, -1]] = rim[:, [0, -1]] = False  # where the image ends, strokes may go on
    has_edge = contrast - beyond > typical[labels] / 4
    sharp = _sum(rim & has_edge, labels, count) / _sum(rim, labels, count)
    return mask & ((thickest >= LEAST_STROKE) & (sharp >= 0.75))[labels]


def _sum(values: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Sums of the values with each label, but at least a tiny number, to divide by."""
    return np.maximum(np.bincount(labels.ravel(), weights=values.ravel(), minlength=count), 1e-6)


def _extent(mask: np.ndarray) -> int:
    """Larger side of the largest piece, in pixels."""
    boxes = [part.bbox for part in measure.regionprops(measure.label(mask))]
    return max((max(bottom - top, right - left) for top, left, bottom, right in boxes), default=0)
