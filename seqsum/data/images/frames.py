"""Reads image files as grey values: every frame, of any bit depth, with a background behind transparent pixels."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
APPLE_DOUBLE = b"\x00\x05\x16\x07"  # the first bytes of ._x.png, where macOS stores attributes of x.png
BITS, SAMPLE_FORMAT, UNSIGNED = 258, 339, 1  # two tags of TIFF 6.0, and a value of the second
# what Pillow raises for damaged files
DAMAGED = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


class UnreadableError(Exception):
    """An image or frame that no digit can be read from. The message completes a sentence that starts with its name."""


class Frame(NamedTuple):
    """Grey values `(Y, X)`, float32 from 0 (black) to 1 (white), of frame `number` of `of`, counted from 1."""

    grey: np.ndarray
    number: int
    of: int


def read_frames(path: Path) -> Iterator[Frame]:
    """Yield all frames of an image file.

    Raises:
        UnreadableError: The file is no image or is damaged. Frames before the damage are yielded first.
    """
    number = 0
    try:
        _check_kind(path)
        with _open(path) as image:
            # an MPO, which phones write, has one picture; its other frames are previews and depth maps
            count = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
            for number in range(1, count + 1):
                image.seek(number - 1)
                yield Frame(_grey(image), number, count)
    except DAMAGED as error:
        reason = "its format is unknown" if isinstance(error, UnidentifiedImageError) else error
        part = f" from frame {number} on" if number > 1 else ""
        raise UnreadableError(f"can't be read as an image{part} ({reason})") from error


def _open(path: Path) -> Image.Image:
    """Open a file; a large picture is the user's own, and Pillow need not warn of it before it is too large."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(path)


def _check_kind(path: Path) -> None:
    """Refuse files for which Pillow's own error messages are unclear."""
    with path.open("rb") as file:
        start = file.read(12)
    if start[:4] == APPLE_DOUBLE:
        raise UnreadableError(f"is no image: macOS keeps attributes of {path.name.removeprefix('._')} in it")
    if start[4:8] == b"ftyp" and start[8:12] in HEIC_BRANDS and not _register_heic():
        raise UnreadableError("is a HEIC image: `pip install pillow-heif` to read it")


def _register_heic() -> bool:
    """Let Pillow read HEIC, if pillow-heif is installed; return whether it is."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def _grey(image: Image.Image) -> np.ndarray:
    """Compute the grey values of an image's current frame, turned upright."""
    frame = ImageOps.exif_transpose(image)  # a copy, without a TIFF's tags
    if frame.mode[0] in "IF":  # 16 or 32 bits, whose range may be used only in part
        return _stretch(_numbers(frame, getattr(image, "tag_v2", {})))
    if "A" in frame.getbands() or "a" in frame.getbands() or "transparency" in frame.info:
        return _on_ground(frame.convert("RGBA"))
    return _share(frame.convert("L"))


def _share(levels: Image.Image) -> np.ndarray:
    return np.asarray(levels, dtype=np.float32) / 255


def _numbers(frame: Image.Image, tags: Mapping[int, Any]) -> np.ndarray:
    """Return the values of a deep frame; correct Pillow, which reads unsigned 32 bits as signed."""
    values = np.asarray(frame)
    if frame.mode == "I" and tags.get(BITS) == (32,) and tags.get(SAMPLE_FORMAT, (UNSIGNED,)) == (UNSIGNED,):
        values = values.view(np.uint32)
    return values.astype(np.float64)


def _stretch(values: np.ndarray) -> np.ndarray:
    """Scale any numbers to grey values: the least becomes 0, the largest 1; NaN and infinity become the median."""
    finite = np.isfinite(values)
    if not finite.any():
        raise UnreadableError("holds no number at all")
    values = np.where(finite, values, np.median(values[finite]))
    low, high = values.min(), values.max()
    return ((values - low) / max(high - low, np.finfo(np.float64).tiny)).astype(np.float32)


def _on_ground(frame: Image.Image) -> np.ndarray:
    """Put an RGBA frame on a background that contrasts with its ink; return grey values.

    If most of it is transparent, the opaque part is ink, and the background is black or white, whichever differs more.
    Otherwise the opaque part is paper, and its holes or round corners get the paper's colour.
    """
    grey, alpha = _share(frame.convert("RGB").convert("L")), _share(frame.getchannel("A"))
    opaque = alpha > 0.5
    tone = float(np.median(grey[opaque])) if opaque.any() else 0.0
    ground = tone if opaque.mean() > 0.5 else float(tone < 0.5)
    return grey * alpha + ground * (1 - alpha)
