"""Finds the rulings of lined and squared paper, and erases them except where strokes cross."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage
from skimage import transform

STEEPEST = 0.07  # radians, 4°: how far a page may be turned
LEAST_LENGTH = 0.4  # of the page's width


class Line(NamedTuple):
    """The pixels `(x, y)` with `x cos(angle) + y sin(angle) = distance`."""

    angle: float
    distance: float


class Rulings(NamedTuple):
    """Lines along the rows of a page, and lines along its columns, in coordinates of the transposed page."""

    across: list[Line]
    down: list[Line]


def find_rulings(mask: np.ndarray) -> Rulings:
    """Find the rulings in a mask `(Y, X)` of ink and rulings."""
    across = _find_across(mask)
    return Rulings(across, _find_across(_erase_across(mask, across).T))


def erase(mask: np.ndarray, rulings: Rulings) -> np.ndarray:
    """Return a mask `(Y, X)` without the rulings."""
    return _erase_across(_erase_across(mask, rulings.across).T, rulings.down).T


def _find_across(mask: np.ndarray) -> list[Line]:
    """Find the lines along the rows, by the Hough transform of the thin parts."""
    width, thickness = mask.shape[1], _thickness(mask)
    angles = np.pi / 2 + np.linspace(-STEEPEST, STEEPEST, 2 * round(STEEPEST * width) + 1)  # moves ends by ½ pixel
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
    """Return the largest thickness of a ruling, in pixels."""
    return max(6, min(mask.shape) // 50)


def _thin(mask: np.ndarray, thickness: int) -> np.ndarray:
    """Keep what is at most `thickness` pixels high: rulings, and strokes along them."""
    return mask & ~ndimage.binary_opening(mask, np.ones((thickness + 1, 1)))
