from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from seqsum.data.images import centre, read_digits, read_sequences
from seqsum.data.rendered import render_digits
from seqsum.errors import InputError


def has_border(image: Tensor) -> bool:
    """Black all around, and as bright as can be: nothing to clean or to stretch."""
    rim = torch.cat([image[0], image[-1], image[:, 0], image[:, -1]])
    return rim.max() == 0 and image.max() == 255


@pytest.fixture(scope="module")
def rendered() -> Tensor:
    return render_digits(60, seed=7)[0]


@pytest.fixture(scope="module")
def drawn(rendered) -> Tensor:
    return torch.stack([image for image in rendered if has_border(image)])


def says(*parts: object) -> str:
    """A pattern for a message that has these parts, in this order."""
    return ".*".join(re.escape(str(part)) for part in parts)


def save(path: Path, grey: Tensor, **options) -> Path:
    Image.fromarray(grey.to(torch.uint8).numpy()).save(path, **options)
    return path


def enlarge(image: Tensor, factor: int) -> Tensor:
    larger = F.interpolate(image[None, None].float(), scale_factor=factor, mode="bilinear", antialias=True)
    return larger[0, 0].round().to(torch.uint8)


def on_canvas(image: Tensor, height: int, width: int, top: int, left: int) -> Tensor:
    canvas = torch.zeros(height, width, dtype=torch.uint8)
    canvas[top : top + image.shape[0], left : left + image.shape[1]] = image
    return canvas


def box(image: Tensor, threshold: int = 0) -> tuple[int, int]:
    """Height and width of what is brighter than the threshold."""
    rows, columns = (image > threshold).nonzero(as_tuple=True)
    return int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1


def centre_of_mass(image: Tensor) -> tuple[float, float]:
    weights, places = image.double() / image.double().sum(), torch.arange(0.5, 28, dtype=torch.float64)
    return float((weights.sum(dim=1) * places).sum()), float((weights.sum(dim=0) * places).sum())


def likeness(first: Tensor, second: Tensor) -> float:
    return float(torch.stack([first.flatten().double(), second.flatten().double()]).corrcoef()[0, 1])


# One digit -----------------------------------------------------------------------------------------


def test_28_by_28_white_on_black_comes_back_unchanged(tmp_path, drawn):
    for image in drawn:
        (digit,) = read_digits(save(tmp_path / "digit.png", image))
        assert digit.dtype == torch.uint8
        assert torch.equal(digit, image)


def test_28_by_28_up_to_the_edge_or_not_quite_white_comes_back_unchanged(tmp_path, rendered):
    for image in rendered:
        if not has_border(image):
            assert torch.equal(read_digits(save(tmp_path / "digit.png", image))[0], image)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".gif", ".webp"])
def test_black_on_white_is_inverted(tmp_path, drawn, suffix):
    options = {"lossless": True} if suffix == ".webp" else {}
    for image in drawn[:5]:
        (digit,) = read_digits(save(tmp_path / f"digit{suffix}", 255 - image, **options))
        assert torch.equal(digit, image)


def test_a_jpeg_is_read_closely(tmp_path, drawn):
    (digit,) = read_digits(save(tmp_path / "digit.jpg", 255 - drawn[0], quality=95))
    assert likeness(digit, drawn[0]) > 0.98


def test_ink_on_coloured_paper_is_stretched_to_white_on_black(tmp_path, drawn):
    grey = 200 - drawn[1].double() * 0.4
    (digit,) = read_digits(save(tmp_path / "digit.png", grey.round()))
    assert (digit.double() - drawn[1]).abs().max() <= 2  # 255 levels went through 102


def test_dark_ink_on_paper_in_the_shade_is_not_blank(tmp_path, drawn):
    grey = 120 - drawn[1].double() * 0.4
    (digit,) = read_digits(save(tmp_path / "digit.png", grey.round()))
    assert (digit.double() - drawn[1]).abs().max() <= 2


def test_16_bit_grey_keeps_its_levels(tmp_path, drawn):
    deep = drawn[2].numpy().astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / "deep.png")
    (digit,) = read_digits(tmp_path / "deep.png")
    assert torch.equal(digit, drawn[2])


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_parts_are_paper(tmp_path, drawn, mode):
    ink = Image.new(mode[:-1], (28, 28), "black")
    ink.putalpha(Image.fromarray(drawn[3].numpy()))  # black ink, nothing around it
    ink.save(tmp_path / "digit.png")
    assert torch.equal(read_digits(tmp_path / "digit.png")[0], drawn[3])


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "LA"])
def test_opaque_colour_modes_read_as_grey(tmp_path, drawn, mode):
    Image.fromarray(drawn[3].numpy()).convert(mode).save(tmp_path / "digit.png")
    assert torch.equal(read_digits(tmp_path / "digit.png")[0], drawn[3])


def test_a_photograph_is_turned_as_its_camera_says(tmp_path, drawn):
    upright = 255 - enlarge(drawn[4], 4)
    orientation = Image.Exif()
    orientation[0x0112] = 6  # "turn me a quarter clockwise", as phones write for an upright picture
    save(tmp_path / "turned.png", upright.rot90(1), exif=orientation)
    save(tmp_path / "upright.png", upright)
    assert torch.equal(read_digits(tmp_path / "turned.png"), read_digits(tmp_path / "upright.png"))


@pytest.mark.parametrize("k", range(8))
@pytest.mark.parametrize(
    ("height", "width", "top", "left"), [(300, 260, 150, 20), (150, 200, 3, 30), (400, 300, 0, 150)]
)
def test_a_big_image_is_scaled_into_a_20_box_around_its_centre_of_mass(tmp_path, drawn, k, height, width, top, left):
    canvas = on_canvas(enlarge(drawn[k], 5), height, width, top, left)
    (digit,) = read_digits(save(tmp_path / "big.png", canvas))
    assert (digit.shape, digit.dtype, int(digit.max())) == ((28, 28), torch.uint8, 255)
    assert max(box(digit)) == 20
    assert centre_of_mass(digit) == pytest.approx((14, 14), abs=0.6)  # whole pixels: half a one, and rounding
    tall, wide = box(canvas)
    assert box(digit) == pytest.approx((20 * tall / max(tall, wide), 20 * wide / max(tall, wide)), abs=1)


def test_a_big_image_still_shows_its_digit(tmp_path, drawn):
    small = [centre(on_canvas(image, 30, 30, 1, 1)) for image in drawn[:12]]
    for k, image in enumerate(drawn[:12]):
        canvas = on_canvas(enlarge(image, 7), 300, 240, 100, 40)
        (digit,) = read_digits(save(tmp_path / "big.png", canvas))
        similar = [likeness(digit, other) for other in small]
        assert similar.index(max(similar)) == k
        assert max(similar) > 0.8


@pytest.mark.parametrize("noise", [2, 4])
def test_the_grain_of_a_scan_does_not_shrink_its_digit(tmp_path, drawn, noise):
    ink = on_canvas(enlarge(drawn[5], 5), 280, 280, 60, 80)
    grain = torch.randn(ink.shape, generator=torch.Generator().manual_seed(0)) * noise
    clean, grainy = 220 - ink * 0.7, 220 - ink * 0.7 + grain
    (expected,) = read_digits(save(tmp_path / "clean.png", clean))
    (digit,) = read_digits(save(tmp_path / "grainy.png", grainy))
    assert box(digit, threshold=60) == pytest.approx(box(expected, threshold=60), abs=2)


# Strips --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [2, 5])
def test_a_strip_of_squares_is_cut_into_them(tmp_path, drawn, steps):
    strip = torch.cat(list(drawn[:steps]), dim=1)
    digits = read_digits(save(tmp_path / "strip.png", strip))
    assert torch.equal(digits, drawn[:steps])


def test_a_strip_of_large_squares_is_cut_and_scaled(tmp_path, drawn):
    squares = [enlarge(image, 3) for image in drawn[:4]]
    digits = read_digits(save(tmp_path / "strip.png", torch.cat(squares, dim=1)))
    assert torch.equal(digits, torch.stack([centre(square) for square in squares]))


def strip_with_gaps(digits: Tensor, height: int, gaps: list[int]) -> Tensor:
    """Digits of different size at different heights, with so many empty columns before each and at the end."""
    cells = []
    for k, (image, gap) in enumerate(zip(digits, gaps, strict=False)):
        ink = image[:, image.amax(dim=0) > 0]
        cells += [torch.zeros(height, gap), on_canvas(ink, height, ink.shape[1], 2 * k, 0)]
    return torch.cat([*cells, torch.zeros(height, gaps[-1])], dim=1).to(torch.uint8)


@pytest.mark.parametrize("paper", ["black", "white"])
@pytest.mark.parametrize("gaps", [[3, 9, 2, 30, 1], [0, 1, 1, 1, 0]])
def test_a_strip_with_gaps_is_cut_at_them(tmp_path, drawn, gaps, paper):
    strip = strip_with_gaps(drawn[:4], 41, gaps)
    digits = read_digits(save(tmp_path / "strip.png", strip if paper == "black" else 255 - strip))
    expected = torch.stack([centre(on_canvas(image, 41, 41, 0, 0)) for image in drawn[:4]])
    assert torch.equal(digits, expected)


def test_a_strip_with_gaps_that_happens_to_be_twice_as_wide_as_high_is_cut_at_the_gaps(tmp_path, drawn):
    strip = strip_with_gaps(drawn[:3], 50, [12, 8, 11, 0])
    strip = F.pad(strip, (0, 100 - strip.shape[1]))
    assert strip.shape == (50, 100)
    digits = read_digits(save(tmp_path / "strip.png", strip))
    assert torch.equal(digits, torch.stack([centre(on_canvas(image, 50, 50, 0, 0)) for image in drawn[:3]]))


@pytest.mark.parametrize(("width", "steps"), [(59, 1), (60, 2)])
def test_an_image_is_a_strip_from_one_and_a_half_times_its_height(tmp_path, drawn, width, steps):
    canvas = on_canvas(drawn[0][:, 6:22], 40, width, 3, 2)
    canvas[3:31, width - 24 : width - 8] = drawn[1][:, 6:22]
    assert len(read_digits(save(tmp_path / "two.png", canvas))) == steps


def test_a_blank_square_in_a_strip_is_named(tmp_path, drawn):
    strip = torch.cat([drawn[0], torch.zeros_like(drawn[0]), drawn[1]], dim=1)
    path = save(tmp_path / "strip.png", strip)
    with pytest.raises(InputError, match=says("`--data.images`", path, "blank", 3)):
        read_sequences([path])


# Sequences -----------------------------------------------------------------------------------------


def test_a_folder_is_read_in_natural_order(tmp_path, drawn):
    for k, name in enumerate(["img1.png", "img2.PNG", "img10.png", "img10b.bmp", "later.png"]):
        save(tmp_path / name, drawn[k])
    (tmp_path / "notes.txt").write_text("no image")
    (sequence,) = read_sequences([tmp_path])
    assert torch.equal(sequence, drawn[:5])


def test_files_keep_the_order_in_which_they_are_given(tmp_path, drawn):
    paths = [save(tmp_path / f"{name}.png", drawn[k]) for k, name in enumerate("cab")]
    (sequence,) = read_sequences(paths)
    assert torch.equal(sequence, drawn[:3])


def test_singles_are_one_sequence_and_each_strip_its_own(tmp_path, drawn):
    save(tmp_path / "1.png", drawn[0])
    save(tmp_path / "2.png", torch.cat([drawn[1], drawn[2], drawn[3]], dim=1))
    save(tmp_path / "3.png", drawn[4])
    (tmp_path / "apart").mkdir()
    apart = save(tmp_path / "apart" / "strip.png", torch.cat([drawn[5], drawn[6]], dim=1))
    singles, first, second = read_sequences([tmp_path, apart])
    assert torch.equal(singles, drawn[[0, 4]])
    assert torch.equal(first, drawn[1:4])
    assert torch.equal(second, drawn[5:7])


def test_strips_alone_make_no_sequence_of_singles(tmp_path, drawn):
    strip = save(tmp_path / "strip.png", torch.cat([drawn[1], drawn[2]], dim=1))
    assert [len(sequence) for sequence in read_sequences([strip, strip])] == [2, 2]


# Errors --------------------------------------------------------------------------------------------


def refuse(path: Path, words: str) -> None:
    with pytest.raises(InputError, match=says("`--data.images`", path, words)):
        read_sequences([path])


def test_a_path_that_does_not_exist_is_named(tmp_path):
    refuse(tmp_path / "typo.png", "does not exist")


def test_a_text_file_is_named(tmp_path):
    (tmp_path / "text.png").write_text("five minus three")
    refuse(tmp_path / "text.png", "can't be read as an image")


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".gif", ".bmp", ".webp"])
def test_a_truncated_image_is_named(tmp_path, drawn, share, suffix):
    path = save(tmp_path / f"half{suffix}", enlarge(drawn[0], 3))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    refuse(path, "can't be read as an image")


def test_an_empty_file_is_named(tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    refuse(tmp_path / "empty.png", "can't be read as an image")


@pytest.mark.parametrize("level", [0, 77, 255])
@pytest.mark.parametrize("shape", [(28, 28), (1, 1), (28, 84), (30, 70)])
def test_a_blank_image_is_named(tmp_path, shape, level):
    refuse(save(tmp_path / "blank.png", torch.full(shape, level)), "blank")


def test_one_bad_file_in_a_folder_is_named(tmp_path, drawn):
    save(tmp_path / "1.png", drawn[0])
    (tmp_path / "2.png").write_text("no image")
    with pytest.raises(InputError, match=says("`--data.images`", tmp_path / "2.png")):
        read_sequences([tmp_path])


def test_a_folder_without_images_is_named_with_what_is_allowed(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    refuse(tmp_path, ".png")
