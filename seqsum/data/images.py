"""A user's own image files as digits like MNIST's: white on black, in a 20×20 box, centred in 28×28."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional as F

from seqsum.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")


def read_sequences(paths: list[Path]) -> list[Tensor]:
    """Image files, or folders of them, as sequences of digits, uint8 `(T, 28, 28)` each.

    An image with one digit is a step, and all of those together, in the order given, are one sequence.
    A wide image with several digits is a strip, and a sequence by itself.

    Raises:
        InputError: A path that does not exist, a file that is no image, an image without ink.
    """
    singles: list[Tensor] = []
    sequences: list[Tensor] = []
    for file in itertools.chain.from_iterable(map(_expand, paths)):
        digits = read_digits(file)
        if len(digits) == 1:
            singles.append(digits)
        else:
            sequences.append(digits)
    return ([torch.cat(singles)] if singles else []) + sequences


def _expand(path: Path) -> list[Path]:
    """The image files of a folder, `img2` before `img10`; or the file itself."""
    if not path.exists():
        raise InputError(f"`--data.images`: {path} does not exist")
    if not path.is_dir():
        return [path]
    files = [file for file in path.iterdir() if file.suffix.lower() in SUFFIXES]
    if not files:
        raise InputError(f"`--data.images`: the folder {path} holds no image ({', '.join(SUFFIXES)})")
    return sorted(
        files, key=lambda file: [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", file.name)]
    )


def read_digits(path: Path) -> Tensor:
    """One image file as uint8 digits `(T, 28, 28)`; `T` is 1 unless it is at least 1.5 times as wide as high."""
    try:
        with Image.open(path) as image:
            grey = np.array(_flatten(ImageOps.exif_transpose(image)), dtype=np.uint8)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"`--data.images`: {path} can't be read as an image ({error})") from error
    ink = _white_on_black(torch.from_numpy(grey))
    if ink.max() == 0:
        raise InputError(f"`--data.images`: {path} is blank")
    height, width = ink.shape
    if width < 1.5 * height:
        return centre(ink)[None]
    squares = height == 28 and width % height == 0  # side by side, as in a strip of MNIST's digits
    cells = list(ink.split(height, dim=1)) if squares else _split_at_gaps(ink)
    if any(cell.max() == 0 for cell in cells):
        raise InputError(f"`--data.images`: {path} has a blank square among its {len(cells)}")
    return torch.stack([centre(cell) for cell in cells])


def _flatten(image: Image.Image) -> Image.Image:
    """Grey values, with transparent parts white like paper."""
    if image.mode.startswith("I;16"):  # 16-bit grey: PIL would clip it to white
        return Image.fromarray((np.array(image) >> 8).astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L")


def _white_on_black(grey: Tensor) -> Tensor:
    """Dark ink on light paper becomes light on dark, and paper becomes zero; the border tells which is paper."""
    border = torch.cat([grey[0], grey[-1], grey[:, 0], grey[:, -1]]).float()
    paper = border.median()
    if len(grey) == 28 and paper == 0:  # MNIST's own form
        return grey
    ink = grey.float() - paper if grey.max() - paper > paper - grey.min() else paper - grey.float()
    grain = 4 * (border - paper).abs().mean()  # of a scan or a photograph; none in a drawn image
    ink = torch.where(ink > grain, ink, torch.zeros_like(ink)).clamp(min=0)
    if grain > 0:  # specks remain; ink is what is near strong ink
        strong = (ink > ink.max() / 3).float()
        ink = ink * F.max_pool2d(strong[None, None], kernel_size=5, stride=1, padding=2)[0, 0]
    return (ink * (255 / ink.max().clamp(min=1))).round().to(torch.uint8)


def _split_at_gaps(ink: Tensor) -> list[Tensor]:
    """Cut a strip where whole columns are without ink."""
    inked = (ink.max(dim=0).values > 0).int()
    edges = torch.diff(inked, prepend=inked.new_zeros(1), append=inked.new_zeros(1))
    starts, ends = (edges == 1).nonzero().flatten(), (edges == -1).nonzero().flatten()
    return [ink[:, start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]


def centre(ink: Tensor) -> Tensor:
    """Any white-on-black digit as MNIST's were made: `(Y, X)` -> uint8 `(28, 28)`.

    The digit is scaled to fit a 20×20 box, keeping its proportions, and its centre of mass is put at the
    centre of the 28×28 field (LeCun et al., 1998). An image that is 28×28 already stays as it is.
    """
    if ink.shape == (28, 28):
        return ink
    rows, columns = ink.max(dim=1).values.nonzero().flatten(), ink.max(dim=0).values.nonzero().flatten()
    digit = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].float()
    ratio = 20 / max(digit.shape)
    size = [max(1, round(side * ratio)) for side in digit.shape]
    digit = F.interpolate(digit[None, None], size=size, mode="bilinear", antialias=True)[0, 0]
    mass = digit.sum()
    top = round(14 - float((digit.sum(dim=1) * torch.arange(0.5, size[0])).sum() / mass))
    left = round(14 - float((digit.sum(dim=0) * torch.arange(0.5, size[1])).sum() / mass))
    top, left = min(max(top, 0), 28 - size[0]), min(max(left, 0), 28 - size[1])
    field = torch.zeros(28, 28)
    field[top : top + size[0], left : left + size[1]] = digit
    return (field * (255 / field.max())).round().clamp(0, 255).to(torch.uint8)
