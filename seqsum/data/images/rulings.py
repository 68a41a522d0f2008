"""The lines of lined and squared paper: found as straight lines across the page, erased but where strokes cross."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage
from skimage import transform

STEEPEST = 0.07  # radians, 4°, by which a page may be turned
LEAST_LENGTH = 0.4  # of the page's width


class Line(NamedTuple):
    """The pixels `(x, y)` with `x cos(angle) + y sin(angle) = distance`."""

    angle: float
    distance: float


class Rulings(NamedTuple):
    """Lines along the rows of a page, and those along its columns, as its transpose has them."""

    across: list[Line]
    down: list[Line]


def find_rulings(mask: np.ndarray) -> Rulings:
    """The rulings in a mask `(Y, X)` of ink and of them."""
    across = _find_across(mask)
    return Rulings(across, _find_across(_erase_across(mask, across).T))


def erase(mask: np.ndarray, rulings: Rulings) -> np.ndarray:
    """A mask `(Y, X)` without the rulings."""
    return _erase_across(_erase_across(mask, rulings.across).T, rulings.down).T


def _find_across(mask: np.ndarray) -> list[Line]:
    """By the Hough transform of what is thin."""
    width, thickness = mask.shape[1], _thickness(mask)
    angles = np.pi / 2 + np.linspace(-STEEPEST, STEEPEST, 2 * round(STEEPEST * width) + 1)  # half a pixel at the ends
    votes, angles, distances = transform.hough_line(_thin(mask, thickness), theta=angles)
    _, *found = transform.hough_line_peaks(
        votes, angles, distances, min_distance=thickness, min_angle=len(angles), threshold=LEAST_LENGTH * width
    )
    return [Line(*line) for line in zip(*found, strict=True)]


def _erase_across(mask: np.ndarray, lines: list[Line]) -> np.ndarray:
    rows, columns = np.mgrid[: mask.shape[0], : mask.shape[1]]
    thickness = _thickness(mask)
    thin, kept = _thin(mask, thickness), mask.copy()
    for angle, distance in lines:
        is_near = np.abs(columns * np.cos(angle) + rows * np.sin(angle) - distance) <= thickness / 2 + 1
        kept &= ~(thin & is_near)
    return kept


def _thickness(mask: np.ndarray) -> int:
    """Pixels that a ruling may be thick."""
    return max(6, min(mask.shape) // 50)


def _thin(mask: np.ndarray, thickness: int) -> np.ndarray:
    """What is no higher than that: rulings, and strokes along them."""
    return mask & ~ndimage.binary_opening(mask, np.ones((thickness + 1, 1)))
