"""MNIST's form of a digit: white on black, scaled to a 20×20 box, centred by its mass in 28×28 pixels."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage import transform

from seqsum.data.images.ink import stroke_width

SIDE, BOX = 28, 20  # pixels of an image, and of the box that its digit fits into
STROKE = 2.5  # pixels, thickness of strokes: the median of the test images, measured at half their ink


def has_mnist_form(image: np.ndarray) -> bool:
    """Whether an image `(28, 28)` has MNIST's form: a digit in a 20×20 box, its centre of mass in the middle."""
    rows, columns = image.any(axis=1).nonzero()[0], image.any(axis=0).nonzero()[0]
    if len(rows) == 0:
        return False
    longer = max(np.ptp(rows), np.ptp(columns)) + 1
    off = [abs(place - SIDE / 2) for place in _centre_of_mass(image)]
    return bool(BOX - 2 <= longer <= BOX and max(off) < 1.5)  # the most in MNIST is 1.0


def to_mnist(mask: np.ndarray) -> np.ndarray:
    """Turn the mask `(Y, X)` of one digit into an image like MNIST's, uint8 `(28, 28)`.

    Strokes thinner than MNIST's are thickened. Then the digit is scaled to fit a 20×20 box, keeping its proportions,
    and placed with its centre of mass at the centre of the 28×28 image (LeCun et al., 1998).
    """
    digit = _thicken(_crop(mask))
    ratio = BOX / max(digit.shape)
    size = [max(1, round(side * ratio)) for side in digit.shape]
    digit = transform.resize(digit.astype(float), size, order=1, anti_aliasing=True)
    offsets = [round(SIDE / 2 - place) for place in _centre_of_mass(digit)]
    top, left = (min(max(offset, 0), SIDE - side) for offset, side in zip(offsets, size, strict=True))
    field = np.zeros((SIDE, SIDE))
    field[top : top + size[0], left : left + size[1]] = digit
    return (field * (255 / field.max())).round().astype(np.uint8)


def _thicken(digit: np.ndarray) -> np.ndarray:
    """Thicken strokes that are thinner than MNIST's, relative to the digit's size."""
    finest = 4 * BOX  # pixels, so that thickness is measured to a quarter of MNIST's pixels
    if max(digit.shape) < finest:
        digit = transform.rescale(digit.astype(float), -(-finest // max(digit.shape)), order=1) >= 0.5
    more = round((STROKE / BOX * max(digit.shape) - stroke_width(digit)) / 2)
    if more <= 0:
        return digit
    return _crop(ndimage.distance_transform_edt(~np.pad(digit, more)) <= more)


def _centre_of_mass(image: np.ndarray) -> tuple[float, float]:
    """Return row and column of the centre of mass; the first pixel reaches from 0 to 1."""
    row, column = ndimage.center_of_mass(image)
    return row + 0.5, column + 0.5


def _crop(mask: np.ndarray) -> np.ndarray:
    rows, columns = mask.any(axis=1).nonzero()[0], mask.any(axis=0).nonzero()[0]
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
