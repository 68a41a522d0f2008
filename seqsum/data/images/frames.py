"""Reads image files as grey values: every frame, of any bit depth, with a background behind transparent pixels."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import PREFIXES as TIFF_STARTS

HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
APPLE_DOUBLE = b"\x00\x05\x16\x07"  # the first bytes of ._x.png, where macOS stores attributes of x.png
BITS, SAMPLE_FORMAT, UNSIGNED = 258, 339, 1  # two tags of TIFF 6.0, and a value of the second
ONE_PICTURE = ("MPO", "PSD")  # their other frames are a phone's previews and depth maps, and a picture's layers
EXPLAINED = (OSError, SyntaxError, Image.DecompressionBombError)  # Pillow raises them with words of its own


class UnreadableError(Exception):
    """An image or frame that no digit can be read from. The message completes a sentence that starts with its name."""


class Frame(NamedTuple):
    """A frame of an image.

    Attributes:
        grey: Grey values `(Y, X)`, float32 from 0 (black) to 1 (white).
        number: The frame's number, 1 for the first.
        is_only: Whether the image has no other frame.
    """

    grey: np.ndarray
    number: int
    is_only: bool


def read_frames(path: Path) -> Iterator[Frame]:
    """Yield all frames of an image file.

    Raises:
        UnreadableError: The file is no image or is damaged. Frames before the damage are yielded first.
    """
    with _naming_damage():
        file = path.open("rb")
    with file:
        with _naming_damage():
            _check_kind(path.name, file.read(12))
            image = _open(file)
        for number in count(1):
            with _naming_damage(number):
                grey = _grey(image)
            follows, damage = True, None
            try:
                with _naming_damage(number + 1):
                    follows = _advance(image)
            except UnreadableError as error:
                damage = error
            yield Frame(grey, number, is_only=number == 1 and not follows)
            if damage is not None:
                raise damage
            if not follows:
                return


@contextmanager
def _naming_damage(number: int = 1) -> Iterator[None]:
    """Turn whatever Pillow raises into an UnreadableError that says from which frame on: its decoders raise anything.

    Too little memory is not the file's fault.
    """
    try:
        yield
    except (UnreadableError, MemoryError):
        raise
    except Exception as error:
        part = f" from frame {number} on" if number > 1 else ""
        raise UnreadableError(f"can't be read as an image{part} ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "its format is unknown"
    if isinstance(error, EOFError | UserWarning):
        return "it ends early"
    return str(error) if isinstance(error, EXPLAINED) and str(error) else "it is damaged"


def _advance(image: Image.Image) -> bool:
    """Go to the next frame; return whether there is one."""
    if image.format in ONE_PICTURE:
        return False
    following = image.tell() + 1
    try:
        with _heeding_cut_directory(is_tiff=image.format == "TIFF"):
            image.seek(following)
    except EOFError:
        if following < getattr(image, "n_frames", 1):  # as the file says itself
            raise
        return False
    return True


def _open(file: BinaryIO) -> Image.Image:
    """Open an image; a large picture is the user's own, and Pillow need not warn of it before it is too large.

    Pillow 13.0 would read a TIFF by its path in another way, and garble those that are turned by their tags.
    """
    file.seek(0)
    is_tiff = file.read(4) in TIFF_STARTS
    file.seek(0)
    with _heeding_cut_directory(is_tiff):
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(file)


@contextmanager
def _heeding_cut_directory(is_tiff: bool) -> Iterator[None]:
    """Raise an error if the list of a frame's tags is cut: Pillow only warns of it, and finds no frame behind it.

    In other files the same warning is of tags that a picture does without.
    """
    with warnings.catch_warnings():
        if is_tiff:
            warnings.filterwarnings("error", "Corrupt EXIF data")
        yield


def _check_kind(name: str, start: bytes) -> None:
    """Refuse files, by their first bytes, for which Pillow's own error messages are unclear."""
    if start[:4] == APPLE_DOUBLE:
        raise UnreadableError(f"is no image: macOS keeps attributes of {name.removeprefix('._')} in it")
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
