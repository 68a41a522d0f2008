"""A digit in MNIST's form: white on black, in a 20×20 box, around its centre of mass, in 28×28."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage import transform

from seqsum.data.images.ink import stroke_width

SIDE, BOX = 28, 20  # pixels of an image, and of the box that its digit fits
STROKE = 2.5  # pixels that strokes are thick: the median of the test images, measured at half their ink


def has_mnist_form(image: np.ndarray) -> bool:
    """Whether an image `(28, 28)` could be one of MNIST's: a digit in a box of 20×20 around its centre of mass."""
    rows, columns = image.any(axis=1).nonzero()[0], image.any(axis=0).nonzero()[0]
    if len(rows) == 0:
        return False
    longer = max(np.ptp(rows), np.ptp(columns)) + 1
    off = [abs(place - SIDE / 2) for place in _centre_of_mass(image)]
    return bool(BOX - 2 <= longer <= BOX and max(off) < 1.5)  # the most in MNIST is 1.0


def to_mnist(mask: np.ndarray) -> np.ndarray:
    """The mask `(Y, X)` of one digit as MNIST's were made -> uint8 `(28, 28)`.

    The digit is scaled to fit a 20×20 box, keeping its proportions, and its centre of mass is put at the centre
    of the 28×28 field (LeCun et al., 1998). Strokes thinner than MNIST's are thickened before.
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
    """Strokes as thick, for the digit's size, as MNIST's."""
    finest = 4 * BOX  # so that thickness is measured in quarters of its pixels
    if max(digit.shape) < finest:
        digit = transform.rescale(digit.astype(float), -(-finest // max(digit.shape)), order=1) >= 0.5
    more = round((STROKE / BOX * max(digit.shape) - stroke_width(digit)) / 2)
    if more <= 0:
        return digit
    return _crop(ndimage.distance_transform_edt(~np.pad(digit, more)) <= more)


def _centre_of_mass(image: np.ndarray) -> tuple[float, float]:
    """Row and column, of which the first begins at 0 and ends at 1."""
    row, column = ndimage.center_of_mass(image)
    return row + 0.5, column + 0.5


def _crop(mask: np.ndarray) -> np.ndarray:
    rows, columns = mask.any(axis=1).nonzero()[0], mask.any(axis=0).nonzero()[0]
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
