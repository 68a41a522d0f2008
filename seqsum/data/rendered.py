"""Digits rendered from matplotlib's fonts: a stand-in for MNIST that needs no download.

They are easier than MNIST (no handwriting) but have the same form: 28×28 grey values, white on black, ten
classes. The glyphs of many fonts are drawn large in three stroke widths, then every digit gets its own
random affine and elastic warp.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from seqsum.data.warps import AFFINE_NUMBERS, ELASTIC_NUMBERS, random_affine, random_elastic, warp

FONTS = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSerif", "DejaVuSerif-Bold",
    "DejaVuSerif-Italic", "DejaVuSansMono", "DejaVuSansMono-Oblique", "STIXGeneral", "STIXGeneralItalic",
    "STIXGeneralBol", "cmr10", "cmss10", "cmtt10",
)  # fmt: skip
GLYPH_SIZE = 56  # twice the final size: warping samples it down to 28 without jagged edges
CHUNK = 5_000  # digits warped at once, which limits memory to a few hundred MB


def render_digits(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw digits: uint8 images `(N, 28, 28)` and labels `(N,)`, the same for the same seed.

    Args:
        count: Number of digits, `N`; the classes are as balanced as possible.
        seed: Seed of the labels, fonts and warps.
    """
    generator = torch.Generator().manual_seed(seed)
    glyphs = _glyphs()  # (variants, 10, 1, Y, X)
    labels = torch.arange(count)[torch.randperm(count, generator=generator)] % 10
    variants = torch.randint(len(glyphs), (count,), generator=generator)
    images = [
        _draw(glyphs[variant, label], generator)
        for variant, label in zip(variants.split(CHUNK), labels.split(CHUNK), strict=True)
    ]
    return torch.cat(images), labels


def _draw(glyphs: Tensor, generator: torch.Generator) -> Tensor:
    """Warp each glyph `(N, 1, Y, X)` into a 28×28 image, uint8 `(N, 28, 28)`."""
    count = len(glyphs)
    numbers = _evenly((AFFINE_NUMBERS, count), generator).T  # this order keeps the digits of earlier versions
    affine = random_affine(numbers, rotation=15, scale=0.15, shear=0.25, shift=1.5)
    images = warp(glyphs, affine, random_elastic(_evenly((count, ELASTIC_NUMBERS), generator), strength=1.5))
    return (images.squeeze(1) * 255).round().clamp(0, 255).to(torch.uint8)


def _evenly(shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Draw numbers uniformly from `[-1, 1)`."""
    return 2 * torch.rand(shape, generator=generator) - 1


def _glyphs() -> Tensor:
    """Draw every digit in every font and three stroke widths, softened: `(3 · fonts, 10, 1, Y, X)` from 0 to 1."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    regular = torch.stack([_font_digits(folder / f"{name}.ttf") for name in FONTS])  # (fonts, 10, 1, Y, X)
    flat = regular.flatten(0, 1)
    widths = torch.cat(
        [F.max_pool2d(flat, kernel_size, stride=1, padding=kernel_size // 2) for kernel_size in (1, 3, 5)]
    )
    soft = F.avg_pool2d(widths, kernel_size=3, stride=1, padding=1)
    return soft.view(-1, 10, 1, GLYPH_SIZE, GLYPH_SIZE)


def _font_digits(path: Path) -> Tensor:
    """Draw the ten digits of a font, each scaled to MNIST's 20-of-28 box: `(10, 1, Y, X)` from 0 to 1."""
    font = ImageFont.truetype(str(path), size=64)
    return torch.stack([_glyph(font, str(digit)) for digit in range(10)])


def _glyph(font: ImageFont.FreeTypeFont, digit: str) -> Tensor:
    """Draw one digit, white on black and centred: `(1, Y, X)`."""
    canvas = Image.new("L", (128, 128))
    ImageDraw.Draw(canvas).text((32, 16), digit, fill=255, font=font)
    drawn = canvas.crop(canvas.getbbox())
    height = GLYPH_SIZE * 20 // 28
    drawn = drawn.resize((max(1, round(drawn.width * height / drawn.height)), height), Image.Resampling.BILINEAR)
    glyph = Image.new("L", (GLYPH_SIZE, GLYPH_SIZE))
    glyph.paste(drawn, ((GLYPH_SIZE - drawn.width) // 2, (GLYPH_SIZE - height) // 2))
    return torch.from_numpy(np.array(glyph)).float()[None] / 255
