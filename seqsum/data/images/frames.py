"""Image files as grey values: every frame, of any depth, with a ground behind what is transparent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
APPLE_DOUBLE = b"\x00\x05\x16\x07"  # the first bytes of ._x.png, in which macOS keeps attributes of x.png
BITS, SAMPLE_FORMAT, UNSIGNED = 258, 339, 1  # of TIFF 6.0
# what Pillow's readers raise for damaged files
DAMAGED = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


class UnreadableError(Exception):
    """An image, or a frame of one, that no digit can be read from. The message is the rest of the sentence."""


class Frame(NamedTuple):
    """Grey values `(Y, X)`, float32 from 0 (black) to 1 (white), of frame `number`, from 1, of so many."""

    grey: np.ndarray
    number: int
    of: int


def read_frames(path: Path) -> Iterator[Frame]:
    """All frames of an image file.

    Raises:
        UnreadableError: The file is no image, or it is damaged: at the first frame that is, after those before.
    """
    number = 0
    try:
        _check_kind(path)
        with Image.open(path) as image:
            # an MPO, as phones write, has one picture; its other frames are previews and depths
            count = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
            for number in range(1, count + 1):
                image.seek(number - 1)
                yield Frame(_grey(image), number, count)
    except DAMAGED as error:
        reason = "its format is unknown" if isinstance(error, UnidentifiedImageError) else error
        part = f" from frame {number} on" if number > 1 else ""
        raise UnreadableError(f"can't be read as an image{part} ({reason})") from error


def _check_kind(path: Path) -> None:
    """Refuse files that Pillow has no good words for."""
    with path.open("rb") as file:
        start = file.read(12)
    if start[:4] == APPLE_DOUBLE:
        raise UnreadableError(f"is no image but what macOS notes about {path.name.removeprefix('._')}")
    if start[4:8] == b"ftyp" and start[8:12] in HEIC_BRANDS and not _register_heic():
        raise UnreadableError("is a HEIC image: `pip install pillow-heif` to read it")


def _register_heic() -> bool:
    """Teach Pillow to read HEIC; whether the package for it is installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener()
    return True


def _grey(image: Image.Image) -> np.ndarray:
    """Grey values of the frame that an image is at, upright."""
    frame = ImageOps.exif_transpose(image)  # a copy, without a TIFF's tags
    if frame.mode[0] in "IF":  # 16 or 32 bits, of which not all need be in use
        return _stretch(_numbers(frame, getattr(image, "tag_v2", {})))
    if "A" in frame.getbands() or "a" in frame.getbands() or "transparency" in frame.info:
        return _on_ground(frame.convert("RGBA"))
    return _share(frame.convert("L"))


def _share(levels: Image.Image) -> np.ndarray:
    return np.asarray(levels, dtype=np.float32) / 255


def _numbers(frame: Image.Image, tags: Mapping[int, Any]) -> np.ndarray:
    """Values of a deep frame; Pillow reads unsigned ones of 32 bits as if they were signed."""
    values = np.asarray(frame)
    if frame.mode == "I" and tags.get(BITS) == (32,) and tags.get(SAMPLE_FORMAT, (UNSIGNED,)) == (UNSIGNED,):
        values = values.view(np.uint32)
    return values.astype(np.float64)


def _stretch(values: np.ndarray) -> np.ndarray:
    """Any numbers as grey values: the least becomes 0, the largest 1; what is no number, the middle one."""
    finite = np.isfinite(values)
    if not finite.any():
        raise UnreadableError("holds no number at all")
    values = np.where(finite, values, np.median(values[finite]))
    low, high = values.min(), values.max()
    return ((values - low) / max(high - low, np.finfo(np.float64).tiny)).astype(np.float32)


def _on_ground(frame: Image.Image) -> np.ndarray:
    """Grey values of an RGBA frame on a ground that its ink shows on.

    Where most is transparent, what is not is ink, and the ground is black or white, whichever is further from it.
    Otherwise there is paper, with holes or round corners that get its colour.
    """
    grey, alpha = _share(frame.convert("RGB").convert("L")), _share(frame.getchannel("A"))
    opaque = alpha > 0.5
    tone = float(np.median(grey[opaque])) if opaque.any() else 0.0
    ground = tone if opaque.mean() > 0.5 else float(tone < 0.5)
    return grey * alpha + ground * (1 - alpha)
