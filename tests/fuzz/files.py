"""Files with something wrong in them: bytes, images and checkpoints."""

from __future__ import annotations

import io
import pickle
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image


def damage(data: bytes, source: random.Random) -> bytes:
    """Bytes cut short, with bits turned over, with a piece missing, doubled or zero, with more at the end."""
    kind, k = source.randrange(7), source.randrange(len(data))
    length = min(source.choice([1, 2, 4, 16, 300]), len(data) - k)
    if kind == 0:
        return data[:k]
    if kind in (1, 2):  # the start is where files say what they are
        damaged = bytearray(data)
        for _ in range(length):
            damaged[source.randrange(len(data) if kind == 1 else min(64, len(data)))] ^= 1 << source.randrange(8)
        return bytes(damaged)
    if kind == 3:
        return data[:k] + data[k + length :]
    if kind == 4:
        return data[: k + length] + data[k:]
    if kind == 5:
        return data[:k] + bytes(length) + data[k + length :]
    return data + source.randbytes(length)


def idx(source: random.Random, count: int, images: bool) -> bytes:
    """An idx file that may say anything about itself, with about as many bytes as it should have."""
    sizes = [count, 28, 28] if images else [count]
    if source.random() < 0.4:
        sizes[source.randrange(len(sizes))] = source.choice([0, 1, 27, 2**16, 2**31, 2**32 - 1, count + 1, count - 1])
    if source.random() < 0.2:
        sizes = source.choice([sizes[:-1], [*sizes, 1], sizes[::-1]])
    kind = source.choice([0x08] * 6 + [0x09, 0x0B, 0x0D, 0x0E, 0x0F, 0x00])
    magic = struct.pack(">BBBB", source.choice([0] * 9 + [1]), 0, kind, source.choice([len(sizes)] * 9 + [0, 255]))
    width = {0x0B: 2, 0x0D: 4, 0x0E: 8}.get(kind, 1)
    length = min(int(np.prod(sizes, dtype=object)) * width, 200_000)
    payload = (
        source.randbytes(length) if images else bytes(source.randrange(11 - source.randrange(2)) for _ in range(length))
    )
    return magic + struct.pack(f">{len(sizes)}I", *sizes) + payload


MODES = ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr", "HSV", "LAB", "I", "F", "I;16"]
FORMATS = {"png": "PNG", "jpg": "JPEG", "gif": "GIF", "bmp": "BMP", "tif": "TIFF", "webp": "WEBP", "ppm": "PPM"}


def image(source: random.Random) -> tuple[str, bytes]:
    """Suffix and content of an image of any mode, size and format, as far as the format takes it."""
    generator = np.random.default_rng(source.randrange(2**32))
    height, width = source.choice(
        [(28, 28), (28, 84), (1, 1), (1, 300), (300, 1), (40, 40), (60, 200), (28, 29), (2, 3)]
    )
    mode, suffix = source.choice(MODES), source.choice(list(FORMATS))
    pixels = generator.integers(0, 256, (height, width)) * (
        generator.random((height, width)) < source.choice([0, 0.1, 1])
    )
    if mode == "F":
        values = pixels.astype(np.float32) / source.choice([1, 255])
        values[generator.random(values.shape) < source.choice([0, 0.05])] = source.choice([np.nan, np.inf, 1e30, -1e30])
        made = Image.fromarray(values)
    elif mode in ("I", "I;16"):
        made = Image.fromarray((pixels * source.choice([1, 257])).astype(np.int32 if mode == "I" else np.uint16))
    else:
        made = Image.fromarray(pixels.astype(np.uint8))
        made = made if mode in ("HSV", "LAB") else made.convert(mode)
    content = io.BytesIO()
    try:
        made.save(content, FORMATS[suffix])
    except (OSError, ValueError, KeyError):  # the format has no such mode
        made.convert("L").save(content, FORMATS[suffix])
    return suffix, content.getvalue()


def frames(suffix: str, source: random.Random) -> bytes:
    """Content of an image with three frames that differ, where the format takes several."""
    generator = np.random.default_rng(source.randrange(2**32))
    first, *others = [Image.fromarray(generator.integers(0, 256, (24, 31)).astype(np.uint8)) for _ in range(3)]
    content = io.BytesIO()
    several = {"save_all": True, "append_images": others} if suffix in ("gif", "tif", "png", "webp") else {}
    first.save(content, FORMATS[suffix], **several, **({"lossless": True} if suffix == "webp" else {}))
    return content.getvalue()


class Code:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.file,)


NOTHINGS: list[Any] = [
    None, 0, -1, "", "x", [], [1], {}, {"a": 1}, {1: 2}, (), float("nan"), torch.zeros(2), b"bytes", {"": 1}, {"_": 0},
    [[[]]], {"class_path": 3}, {"class_path": "os.system", "init_args": {"command": "touch ran"}},
]  # fmt: skip


def other_checkpoint(good: dict[str, Any], source: random.Random, ran: Path) -> bytes:
    """A file that is read as a checkpoint and is none, or has something else in one place of it."""
    content = io.BytesIO()
    kind = source.randrange(6)
    if kind == 0:
        pickle.dump(source.choice([Code(ran), {"state_dict": Code(ran)}, good, [1, 2], "text"]), content)
    elif kind == 1:
        torch.save(source.choice([Code(ran), {"state_dict": {}, "hook": Code(ran)}, *NOTHINGS]), content)
    else:
        torch.save(replaced(good, source), content)
    return content.getvalue()


def replaced(tree: Any, source: random.Random) -> Any:
    """The same dictionary but for one value, somewhere below it, that is gone or another."""
    tree = dict(tree)
    key = source.choice(list(tree))
    if isinstance(tree[key], dict) and tree[key] and source.random() < 0.8:
        tree[key] = replaced(tree[key], source)
    elif source.random() < 0.2:
        del tree[key]
    elif isinstance(tree[key], torch.Tensor) and source.random() < 0.7:
        tree[key] = source.choice(
            [tree[key][..., None], tree[key] * torch.nan, tree[key].flatten()[:1], tree[key].int()]
        )
    else:
        tree[key] = source.choice(NOTHINGS)
    return tree
