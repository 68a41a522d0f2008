"""Grey values cut into digits: what is connected, what belongs together, what is a speck."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from skimage import measure

from seqsum.data.images.frames import UnreadableError
from seqsum.data.images.ink import find_ink
from seqsum.data.images.mnist_form import SIDE, has_mnist_form, to_mnist

SPECK = 0.15  # of the largest piece of ink: smaller ones are specks
# of the tallest piece
LOW = 0.45  # what is lower is a piece of the digit beside it …
NEAR = 0.2  # … if there is one so near …
BLOT = 0.3  # … and otherwise a blot, if it is smaller than this


class _Piece(NamedTuple):
    """A connected piece of ink, or several: its label and its box, whose ends are outside."""

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
        """Empty columns between the two; negative where they share some."""
        return max(self.left, other.left) - min(self.right, other.right)

    def join(self, other: _Piece) -> _Piece:
        return _Piece(
            self.labels + other.labels,
            min(self.top, other.top),
            min(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
        )


def cut_digits(grey: np.ndarray, digits_only: bool = True) -> list[np.ndarray]:
    """Grey values `(Y, X)` from 0 to 1 -> the digits in them, from left to right, uint8 `(28, 28)` each.

    Digits that have MNIST's form already, one or a strip of them, stay as they are.

    Args:
        grey: Of one frame.
        digits_only: False for what else comes in squares of 28×28, such as clothes, whose form is another: they
            all stay as they are if their ground is black.

    Raises:
        UnreadableError: There is no digit, there is an empty square in a strip, or digits stand below each other.
    """
    height, width = grey.shape
    count = width // SIDE if height == SIDE and width % SIDE == 0 else 0  # squares, as in a strip of MNIST's digits
    for light in (grey, 1 - grey) if count else ():
        cells = [(255 * cell).round().astype(np.uint8) for cell in np.split(light, count, axis=1)]
        if all(map(has_mnist_form if digits_only else _is_on_black, cells)):
            return cells
    labels, pieces = _pieces(find_ink(grey))
    ink = np.isin(labels, [label for piece in pieces for label in piece.labels])
    masks = np.split(ink, count, axis=1) if count else [np.isin(labels, digit.labels) for digit in _join(pieces)]
    if not all(mask.any() for mask in masks):
        raise UnreadableError(f"has a blank square among its {count}")
    return [to_mnist(mask) for mask in masks]


def _is_on_black(image: np.ndarray) -> bool:
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    return bool(image.any() and np.median(border) == 0)


def _pieces(mask: np.ndarray) -> tuple[np.ndarray, list[_Piece]]:
    """Labels `(Y, X)` of the pieces of a mask, and those that are no specks, the tallest first."""
    labels = measure.label(mask)
    pieces = [_Piece((part.label,), *part.bbox) for part in measure.regionprops(labels)]
    largest = max((piece.size for piece in pieces), default=0)
    pieces = [piece for piece in pieces if piece.size > SPECK * largest]
    return labels, sorted(pieces, key=lambda piece: -piece.height)


def _join(pieces: list[_Piece]) -> list[_Piece]:
    """Digits side by side, from left to right, of pieces of which the tallest are the first."""
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
    """The digit that it is a piece of: one above or below it, or, of a low piece, one near."""
    if not digits:
        return None
    nearest = min(digits, key=piece.gap)
    if -piece.gap(nearest) < min(piece.width, nearest.width) / 2:
        return nearest if piece.height < LOW * tallest and piece.gap(nearest) < NEAR * tallest else None
    space = max(piece.top, nearest.top) - min(piece.bottom, nearest.bottom)
    if piece.height > tallest / 2 and space > tallest / 4:
        raise UnreadableError("has digits below each other: one line an image")
    return nearest
