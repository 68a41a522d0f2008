"""Image files of every kind are read as grey values."""

from __future__ import annotations

import builtins
import sys
import warnings
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from seqsum.data.images.frames import UnreadableError, read_frames
from tests.data.images.drawing import draw, levels, page, rendered

DIGIT = levels(page(draw(rendered(1)[0], 3), 90, 80, 8, 10))  # light on dark, with greys at no edge


def greys(path: Path) -> list[np.ndarray]:
    return [frame.grey for frame in read_frames(path)]


def save(path: Path, values: np.ndarray, **options) -> Path:
    Image.fromarray(values).save(path, **options)
    return path


def refused(path: Path) -> str:
    with pytest.raises(UnreadableError) as error:
        greys(path)
    return str(error.value)


# Depth ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".gif", ".webp"])
def test_8_bits_keep_their_levels(tmp_path, suffix):
    options = {"lossless": True} if suffix == ".webp" else {}
    (grey,) = greys(save(tmp_path / f"digit{suffix}", DIGIT, **options))
    assert (grey.dtype, grey.shape) == (np.float32, DIGIT.shape)
    assert np.array_equal((255 * grey).round(), DIGIT)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "LA", "1", "CMYK"])
def test_every_mode_is_read_as_grey(tmp_path, mode):
    black_or_white = np.where(DIGIT > 127, 255, 0).astype(np.uint8)
    path = tmp_path / ("digit.tif" if mode == "CMYK" else "digit.png")
    Image.fromarray(black_or_white).convert(mode).save(path)
    (grey,) = greys(path)
    assert np.array_equal(grey, black_or_white / 255)


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [(np.uint16, 0, 65535), (np.uint16, 0, 4095), (np.uint16, 100, 400), (np.int32, -5000, 70000),
     (np.float32, 0, 1), (np.float32, -3.5, 800)],
)  # fmt: skip
def test_deep_tiffs_are_stretched_from_black_to_white(tmp_path, kind, low, high):
    values = (low + (high - low) * (DIGIT / 255)).astype(kind)
    (grey,) = greys(save(tmp_path / "deep.tif", values))
    assert np.allclose(grey, DIGIT / 255, atol=1 / (high - low) if kind != np.float32 else 1e-6)


def test_a_16_bit_png_that_uses_12_bits_is_not_black(tmp_path):
    (grey,) = greys(save(tmp_path / "deep.png", DIGIT.astype(np.uint16) * 16))
    assert np.allclose(grey, DIGIT / 255)


def test_unsigned_32_bits_are_not_taken_for_signed_ones(tmp_path):
    tifffile = pytest.importorskip("tifffile")  # Pillow writes signed ones alone
    tifffile.imwrite(tmp_path / "deep.tif", DIGIT.astype(np.uint32) * 16843009)  # up to 2**32 - 1
    (grey,) = greys(tmp_path / "deep.tif")
    assert np.allclose(grey, DIGIT / 255, atol=1e-6)


@pytest.mark.parametrize("drawing", [DIGIT, 255 - DIGIT], ids=["on black", "on white"])
def test_what_is_no_number_is_ground(tmp_path, drawing):
    values = drawing.astype(np.float32)
    values[:3] = [[np.nan], [np.inf], [-np.inf]]
    (grey,) = greys(save(tmp_path / "deep.tif", values))
    assert np.allclose(grey, drawing / 255)  # which is ground there


def test_an_image_without_any_number_is_refused(tmp_path):
    assert "no number" in refused(save(tmp_path / "nan.tif", np.full((40, 40), np.nan, dtype=np.float32)))


# Background, rotation ------------------------------------------------------------------------------


def drawn_on_nothing(tone: int, mode: str) -> Image.Image:
    ink = Image.new(mode[:-1], DIGIT.shape[::-1], (tone,) * len(mode[:-1]))
    ink.putalpha(Image.fromarray(DIGIT))
    return ink


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize(("tone", "ground"), [(0, 1), (255, 0), (60, 1), (200, 0)])
def test_ink_on_transparent_ground_stands_out_whatever_its_tone(tmp_path, mode, tone, ground):
    drawn_on_nothing(tone, mode).save(tmp_path / "digit.png")
    (grey,) = greys(tmp_path / "digit.png")
    assert grey[0, 0] == ground
    assert grey[DIGIT == 255] == pytest.approx(tone / 255)


def test_a_palette_with_a_transparent_colour_is_no_ink_on_ink(tmp_path):
    drawn = Image.fromarray(np.where(DIGIT > 127, 1, 0).astype(np.uint8), mode="P")
    drawn.putpalette([255, 255, 255, 250, 250, 250])
    drawn.save(tmp_path / "digit.png", transparency=0)  # white ink on white that is not there
    (grey,) = greys(tmp_path / "digit.png")
    assert np.ptp(grey) > 0.9


def test_round_corners_of_a_sheet_are_paper(tmp_path):
    sheet = Image.fromarray(255 - DIGIT)
    corner = np.full(DIGIT.shape, 255, dtype=np.uint8)
    corner[:6, :6] = 0
    sheet.putalpha(Image.fromarray(corner))
    sheet.save(tmp_path / "sheet.png")
    (grey,) = greys(tmp_path / "sheet.png")
    assert np.array_equal(grey, 1 - np.float32(DIGIT) / 255)


def test_a_photograph_is_turned_as_its_camera_says(tmp_path):
    orientation = Image.Exif()
    orientation[0x0112] = 6  # "turn me a quarter clockwise", as phones write for an upright picture
    (grey,) = greys(save(tmp_path / "turned.png", np.rot90(DIGIT).copy(), exif=orientation))
    assert np.array_equal((255 * grey).round(), DIGIT)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_an_image_turned_by_its_tag_is_the_one_that_was_turned(tmp_path, orientation, kind, suffix):
    """A scanner's TIFF, too, whose values Pillow could map into memory."""
    tag = Image.Exif()
    tag[0x0112] = orientation
    back = {2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}  # how to turn it so that the tag turns it back
    turned = Image.fromarray(np.pad(DIGIT, ((0, 5), (3, 0))))
    upright = np.asarray(turned)
    if orientation > 1:
        undo = Image.Exif()
        undo[0x0112] = back[orientation]
        turned.info["exif"] = undo.tobytes()
        turned.getexif()[0x0112] = back[orientation]
        turned = ImageOps.exif_transpose(turned)
    values = np.asarray(turned).astype(kind) * (257 if kind is np.uint16 else 1)
    (grey,) = greys(save(tmp_path / f"turned{suffix}", values, exif=tag))
    assert grey.shape == upright.shape
    assert np.array_equal((255 * grey).round(), upright)


# Frames --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".tif", ".gif", ".webp", ".png"])
def test_every_frame_is_read(tmp_path, suffix):
    shown = [np.roll(DIGIT, 5 * k, axis=1) for k in range(3)]
    first, *others = map(Image.fromarray, shown)
    options = {"lossless": True} if suffix == ".webp" else {}
    first.save(tmp_path / f"three{suffix}", save_all=True, append_images=others, **options)
    frames = list(read_frames(tmp_path / f"three{suffix}"))
    assert [(frame.number, frame.is_only) for frame in frames] == [(1, False), (2, False), (3, False)]
    for frame, digit in zip(frames, shown, strict=True):
        assert np.array_equal((255 * frame.grey).round(), digit)


def test_a_phones_preview_in_an_mpo_is_no_second_picture(tmp_path):
    picture, preview = Image.fromarray(DIGIT), Image.fromarray(DIGIT[::2, ::2])
    picture.save(tmp_path / "phone.jpg", "MPO", save_all=True, append_images=[preview])
    (frame,) = read_frames(tmp_path / "phone.jpg")
    assert (frame.is_only, frame.grey.shape) == (True, DIGIT.shape)


@pytest.mark.parametrize("missing", [60, 404], ids=["pixels", "header"])
def test_the_frames_before_a_damaged_one_are_read(tmp_path, missing):
    first, *others = [Image.fromarray(np.roll(DIGIT, 5 * k, axis=1)) for k in range(3)]
    path = tmp_path / "three.gif"
    first.save(path, save_all=True, append_images=others)
    path.write_bytes(path.read_bytes()[:-missing])
    frames, numbers = islice(read_frames(path), 3), []
    with pytest.raises(UnreadableError, match="can't be read as an image from frame 3 on"):
        numbers.extend(frame.number for frame in frames)
    assert numbers == [1, 2]


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("compression", ["raw", "packbits", "tiff_lzw"])
def test_no_frame_of_a_cut_tiff_is_lost_without_a_word(tmp_path, compression, big):
    first, *others = [Image.fromarray(np.roll(DIGIT, 5 * k, axis=1)[:9, :9]) for k in range(3)]
    path = tmp_path / "three.tif"
    first.save(path, save_all=True, append_images=others, compression=compression, big_tiff=big)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        read, damage = read_to_damage(path)
        assert read == 3 if damage is None else f"from frame {read + 1} on" in damage or read == 0, (length, damage)


def read_to_damage(path: Path) -> tuple[int, str | None]:
    """Return how many frames can be read, and what is said of the next."""
    read = 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # which a user may do too
            for _ in read_frames(path):
                read += 1
    except UnreadableError as error:
        return read, str(error)
    return read, None


# Not an image ------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"five minus three", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_no_image_is_refused(tmp_path, content):
    (tmp_path / "digit.png").write_bytes(content)
    assert refused(tmp_path / "digit.png").startswith("can't be read as an image (")


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".gif", ".bmp", ".webp"])
def test_a_truncated_image_is_refused(tmp_path, share, suffix):
    path = save(tmp_path / f"half{suffix}", DIGIT)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert "can't be read as an image" in refused(path)


def test_a_large_image_is_read_without_a_warning_and_a_huge_one_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "large.png"
    Image.new("L", (30, 20), 7).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)
    (frame,) = read_frames(path)  # pytest makes warnings errors
    assert frame.grey.shape == (20, 30)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
    with pytest.raises(UnreadableError, match=r"can't be read as an image \(Image size \(600 pixels\) exceeds limit"):
        list(read_frames(path))


def test_too_little_memory_is_no_damage(tmp_path, monkeypatch):
    def fail(image):
        raise MemoryError

    monkeypatch.setattr(ImageOps, "exif_transpose", fail)
    with pytest.raises(MemoryError):
        list(read_frames(save(tmp_path / "digit.png", DIGIT)))


def test_a_folder_and_a_missing_file_are_refused(tmp_path):
    assert "can't be read" in refused(tmp_path)
    assert "can't be read" in refused(tmp_path / "missing.png")


def test_what_macos_notes_about_a_file_is_no_image(tmp_path):
    (tmp_path / "._x.png").write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + bytes(60))
    assert refused(tmp_path / "._x.png") == "is no image: macOS keeps attributes of x.png in it"


def test_an_image_whose_name_only_looks_like_that_is_read(tmp_path):
    assert len(greys(save(tmp_path / "._x.png", DIGIT))) == 1


# HEIC ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["photo.heic", "renamed.jpg"])
def test_without_pillow_heif_a_heic_image_is_refused_with_what_to_install(tmp_path, monkeypatch, name):
    (tmp_path / name).write_bytes(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(200))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as if it were not installed
    assert refused(tmp_path / name) == "is a HEIC image: `pip install pillow-heif` to read it"


def test_with_pillow_heif_it_is_read(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    try:
        pillow_heif.from_pillow(Image.fromarray(DIGIT).convert("RGB")).save(tmp_path / "photo.heic", quality=-1)
    except RuntimeError:
        pytest.skip("this pillow-heif has no encoder")
    (grey,) = greys(tmp_path / "photo.heic")
    assert np.abs(grey - DIGIT / 255).max() < 0.1


def test_other_images_do_not_ask_for_it(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        assert name != "pillow_heif"
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    assert len(greys(save(tmp_path / "digit.png", DIGIT))) == 1
