"""Cuts an image into digits: finds connected pieces of ink, drops specks, and joins pieces of one digit.

Images of other things, such as clothes, are not converted: they must be squares like those of their dataset.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from skimage import measure

from seqsum.data.images.frames import UnreadableError
from seqsum.data.images.ink import find_ink
from seqsum.data.images.mnist_form import SIDE, has_mnist_form, to_mnist

SPECK = 0.15  # of the largest piece's size: smaller pieces are specks
# shares of the tallest piece's height
LOW = 0.45  # a lower piece belongs to the digit beside it …
NEAR = 0.2  # … if the gap between them is smaller than this
BLOT = 0.3  # a piece that belongs to no digit and is smaller than this is a blot


class _Piece(NamedTuple):
    """One or more connected pieces of ink: their labels and their bounding box, with exclusive ends."""

    labels: tuple[int, ...]
    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def size(self) -> int:
        return max(self.height, self.width)

    def gap(self, other: _Piece) -> int:
        """Count the empty columns between the two; negative if they overlap."""
        return max(self.left, other.left) - min(self.right, other.right)

    def join(self, other: _Piece) -> _Piece:
        return _Piece(
            self.labels + other.labels,
            min(self.top, other.top),
            min(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
        )


def cut_digits(grey: np.ndarray) -> list[np.ndarray]:
    """Cut grey values `(Y, X)` from 0 to 1 into digits, from left to right, uint8 `(28, 28)` each.

    A digit, or a strip of digits, that already has MNIST's form stays as it is.

    Raises:
        UnreadableError: There is no digit, a square of a strip is empty, or digits stand below each other.
    """
    count = _count_squares(grey)
    for light in (grey, 1 - grey) if count else ():
        cells = _squares(light, count)
        if all(map(has_mnist_form, cells)):
            return cells
    labels, pieces = _pieces(find_ink(grey))
    ink = np.isin(labels, [label for piece in pieces for label in piece.labels])
    masks = np.split(ink, count, axis=1) if count else [np.isin(labels, digit.labels) for digit in _join(pieces)]
    if not all(mask.any() for mask in masks):
        raise UnreadableError(f"has a blank square among its {count}")
    return [to_mnist(mask) for mask in masks]


def cut_squares(grey: np.ndarray) -> list[np.ndarray]:
    """Cut grey values `(28, N·28)` from 0 to 1 into squares, uint8 each, light on dark.

    Raises:
        UnreadableError: The image is of another size, or one of its squares is blank.
    """
    count = _count_squares(grey)
    if count == 0:
        raise UnreadableError(f"is not {SIDE}×{SIDE} pixels large: only digits are converted to this size")
    upright, inverted = _squares(grey, count), _squares(1 - grey, count)
    if any(np.ptp(square) == 0 for square in upright):
        raise UnreadableError("is blank" if count == 1 else f"has a blank square among its {count}")
    return inverted if np.median(_borders(inverted)) < np.median(_borders(upright)) else upright


def _count_squares(grey: np.ndarray) -> int:
    """Return how many squares an image may consist of, as a strip of MNIST's digits does; 0 if none."""
    height, width = grey.shape
    return width // SIDE if height == SIDE and width % SIDE == 0 else 0


def _squares(grey: np.ndarray, count: int) -> list[np.ndarray]:
    return [(255 * square).round().astype(np.uint8) for square in np.split(grey, count, axis=1)]


def _borders(squares: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([line for image in squares for line in (image[0], image[-1], image[:, 0], image[:, -1])])


def _pieces(mask: np.ndarray) -> tuple[np.ndarray, list[_Piece]]:
    """Label the connected pieces of a mask, `(Y, X)`; return the labels and all pieces but specks, tallest first."""
    labels = measure.label(mask)
    pieces = [_Piece((part.label,), *part.bbox) for part in measure.regionprops(labels)]
    largest = max((piece.size for piece in pieces), default=0)
    pieces = [piece for piece in pieces if piece.size > SPECK * largest]
    return labels, sorted(pieces, key=lambda piece: -piece.height)


def _join(pieces: list[_Piece]) -> list[_Piece]:
    """Join pieces, given tallest first, into digits; return them from left to right."""
    tallest = pieces[0].height
    digits: list[_Piece] = []
    for piece in pieces:
        whole = _belongs_to(piece, digits, tallest)
        if whole is not None:
            digits[digits.index(whole)] = whole.join(piece)
        elif piece.size >= BLOT * tallest:
            digits.append(piece)
    return sorted(digits, key=lambda digit: digit.left)


def _belongs_to(piece: _Piece, digits: list[_Piece], tallest: int) -> _Piece | None:
    """Find the digit that a piece belongs to: one above or below it, or for a low piece one close beside it."""
    if not digits:
        return None
    nearest = min(digits, key=piece.gap)
    if -piece.gap(nearest) < min(piece.width, nearest.width) / 2:
        return nearest if piece.height < LOW * tallest and piece.gap(nearest) < NEAR * tallest else None
    space = max(piece.top, nearest.top) - min(piece.bottom, nearest.bottom)
    if piece.height > tallest / 2 and space > tallest / 4:
        raise UnreadableError("has digits below each other: use one image per line")
    return nearest
