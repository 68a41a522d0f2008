"""Makes test images like a user's photographs, scans and drawings: digits on a page, with light, paper and noise.

Ink `(Y, X)` is 0 for none to 1; grey values are 0 for black to 1 for white.
"""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from torch.nn import functional as F

from seqsum.data.rendered import render_digits


def rendered(count: int, seed: int = 7) -> list[np.ndarray]:
    """Render digits as ink, `(28, 28)` each."""
    return [image.numpy() / 255 for image in render_digits(count, seed)[0]]


def enlarge(ink: np.ndarray, factor: int) -> np.ndarray:
    larger = F.interpolate(torch.from_numpy(ink)[None, None], scale_factor=factor, mode="bilinear", antialias=True)
    return larger[0, 0].numpy()


def draw(ink: np.ndarray, factor: int) -> np.ndarray:
    """Enlarge a digit by a factor as if drawn with a pen: sharp, and without a margin."""
    return crop((enlarge(np.pad(ink, 1), factor) > 0.5).astype(float))


def crop(ink: np.ndarray) -> np.ndarray:
    rows, columns = (ink > 0.3).any(axis=1).nonzero()[0], (ink > 0.3).any(axis=0).nonzero()[0]
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def page(ink: np.ndarray, height: int, width: int, top: int, left: int) -> np.ndarray:
    canvas = np.zeros((height, width))
    canvas[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return canvas


def row(inks: list[np.ndarray], gap: int, margin: int) -> np.ndarray:
    """Put digits side by side on one baseline."""
    height = max(ink.shape[0] for ink in inks)
    parts = [np.pad(ink, ((height - ink.shape[0], 0), (0, gap))) for ink in inks]
    return np.pad(np.concatenate(parts, axis=1)[:, : -gap or None], margin)


def rule(ink: np.ndarray, pitch: int, dark: float, slope: float = 0.0, squared: bool = False) -> np.ndarray:
    """Put ink on lined or squared paper, with lines two pixels thick behind the ink."""
    y, x = np.mgrid[: ink.shape[0], : ink.shape[1]]
    lines = (y + slope * x) % pitch < 2
    if squared:
        lines |= (x - slope * y) % pitch < 2
    return np.maximum(ink, dark * lines)


def photograph(ink: np.ndarray, contrast: float = 0.75, noise: float = 0.015, shadow: float = 1.0) -> np.ndarray:
    """Photograph ink in light that falls off from one corner, with a shadow's edge, blur and grain."""
    height, width = ink.shape
    y, x = np.mgrid[:height, :width] / max(height, width)
    light = 0.85 - 0.45 * (x + y) / 2
    light = np.where(x + 0.3 * y > 0.6, shadow * light, light)
    grain = np.random.default_rng(0).normal(0, noise, ink.shape)
    return np.clip(light * (1 - contrast * ndimage.gaussian_filter(ink, 1)) + grain, 0, 1)


def jpeg(grey: np.ndarray, quality: int) -> np.ndarray:
    """Compress grey values as a JPEG of a quality, and read them again."""
    file = io.BytesIO()
    Image.fromarray(levels(grey)).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file)) / 255


def levels(grey: np.ndarray) -> np.ndarray:
    return (255 * np.clip(grey, 0, 1)).round().astype(np.uint8)


def likeness(first: np.ndarray, second: np.ndarray) -> float:
    """Return the correlation of two images up to a shift by one pixel, since centres are rounded to whole pixels."""
    shifts = [np.roll(first, (y, x), axis=(0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    return max(float(np.corrcoef(shifted.ravel(), second.ravel())[0, 1]) for shifted in shifts)
