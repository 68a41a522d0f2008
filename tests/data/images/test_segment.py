"""The right number of digits is found, and they look as they were drawn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from seqsum.data import load_splits
from seqsum.data.images.frames import UnreadableError
from seqsum.data.images.segment import cut_digits, cut_squares
from seqsum.data.images.sheet import without_table
from tests.data.images.drawing import crop, draw, enlarge, jpeg, likeness, page, photograph, rendered, row, rule

INKS = rendered(24)
BIG = [draw(ink, 6) for ink in INKS]  # 100 to 160 pixels high


CLEAN: dict[bytes, np.ndarray] = {}  # digits cut from clean drawings, by their ink


def cut_clean(ink: np.ndarray) -> np.ndarray:
    """Cut the digit from a clean drawing, once for all tests."""
    if (key := ink.tobytes()) not in CLEAN:
        (CLEAN[key],) = cut_digits(1 - np.pad(ink, 20))
    return CLEAN[key]


def looks_like(grey: np.ndarray, *inks: np.ndarray, least: float = 0.9) -> None:
    """Assert that the image yields exactly these digits, looking as from a clean drawing of each."""
    found = cut_digits(grey)
    assert len(found) == len(inks)
    for digit, ink in zip(found, inks, strict=True):
        expected = cut_clean(ink)
        assert (digit.shape, digit.dtype) == ((28, 28), np.uint8)
        assert likeness(digit, expected) > least


# Digits in MNIST's form already --------------------------------------------------------------------


@pytest.fixture(scope="module")
def mnist_like():
    """Return digits in the form that `cut_digits` gives them."""
    return [cut_clean(ink) for ink in BIG]


@pytest.mark.parametrize("inverted", [False, True])
def test_a_digit_in_mnists_form_comes_back_unchanged(mnist_like, inverted):
    for image in mnist_like:
        (digit,) = cut_digits(1 - image / 255 if inverted else image / 255)
        assert np.array_equal(digit, image)


@pytest.mark.parametrize("inverted", [False, True])
def test_a_strip_of_them_is_cut_into_its_squares_unchanged(mnist_like, inverted):
    strip = np.concatenate(mnist_like, axis=1) / 255
    assert np.array_equal(cut_digits(1 - strip if inverted else strip), mnist_like)


def test_all_of_mnists_test_digits_come_back_unchanged(real_root):
    images = load_splits("mnist", real_root)["test"].images.numpy()
    assert all(np.array_equal(cut_digits(image / 255)[0], image) for image in images)


# Other things than digits --------------------------------------------------------------------------


@pytest.mark.parametrize("inverted", [False, True])
def test_things_of_28_by_28_pixels_that_are_no_digits_stay_as_they_are(inverted):
    things = [np.roll(ink, 2, axis=0) for ink in INKS[:6]]
    for thing in things:
        assert np.array_equal(cut_squares(1 - thing if inverted else thing)[0], (255 * thing).round())
        assert not np.array_equal(cut_digits(thing)[0], (255 * thing).round())
    strip = np.concatenate(things, axis=1)
    expected = [(255 * thing).round() for thing in things]
    assert np.array_equal(cut_squares(1 - strip if inverted else strip), expected)


@pytest.mark.parametrize(
    ("shape", "message"),
    [((28, 27), "is not 28×28 pixels"), ((56, 28), "only digits are converted"), ((300, 200), "is not 28×28 pixels")],
)
def test_things_of_other_sizes_are_not_converted(shape, message):
    with pytest.raises(UnreadableError, match=message):
        cut_squares(np.random.default_rng(0).random(shape))


def test_a_blank_square_shows_no_thing():
    with pytest.raises(UnreadableError, match="is blank"):
        cut_squares(np.zeros((28, 28)))
    with pytest.raises(UnreadableError, match="has a blank square among its 2"):
        cut_squares(np.concatenate([np.eye(28), np.zeros((28, 28))], axis=1))


# 28×28 pixels in another form ----------------------------------------------------------------------


@pytest.mark.parametrize(("top", "left"), [(0, 0), (0, 12), (8, 3), (8, 12)])
@pytest.mark.parametrize("inverted", [False, True])
def test_a_drawing_of_28_by_28_pixels_is_centred(mnist_like, top, left, inverted):
    for image in mnist_like[:6]:
        ink = crop(image / 255)[:20, :16]
        drawing = page(ink, 28, 28, top, left)
        (digit,) = cut_digits(1 - drawing if inverted else drawing)
        rows, columns = (digit > 0).any(axis=1).nonzero()[0], (digit > 0).any(axis=0).nonzero()[0]
        assert max(np.ptp(rows), np.ptp(columns)) == 19
        assert ndimage.center_of_mass(digit) == pytest.approx((13.5, 13.5), abs=0.6)


def test_a_drawing_that_fills_its_28_pixels_is_scaled_into_the_box_of_20():
    for ink in BIG[:6]:
        drawing = np.pad(enlarge_to(ink, 26), 1)
        (digit,) = cut_digits(drawing)
        assert (digit > 100).any(axis=1).sum() == pytest.approx(20, abs=1)


def enlarge_to(ink: np.ndarray, height: int) -> np.ndarray:
    """Scale ink to a height in rows, in a square."""
    scaled = ndimage.zoom(ink, height / ink.shape[0], order=1)[:height, :height]
    return page(scaled, height, height, 0, (height - scaled.shape[1]) // 2)


# Drawings ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [(250, 300, 40, 90), (200, 500, 20, 300), (600, 260, 400, 10)])
@pytest.mark.parametrize("inverted", [False, True])
def test_a_drawn_digit_is_found_wherever_it_is(place, inverted):
    for ink in BIG[:3]:
        drawing = page(ink, *place)
        looks_like(drawing if inverted else 1 - drawing, ink)


def test_thin_lines_get_as_thick_as_mnists():
    y, x = np.mgrid[:400, :400]
    ring = (np.abs(np.hypot(y - 200, x - 200) - 150) < 2).astype(float)  # 4 pixels of 300: 0.3 of 20
    (digit,) = cut_digits(1 - ring)
    across = digit[14, :14].astype(float)
    assert across.sum() / 255 == pytest.approx(2.5, abs=0.35)


@pytest.mark.parametrize("grey", [lambda ink: 0.8 - 0.3 * ink, lambda ink: 0.2 + 0.2 * ink])
def test_ink_and_paper_may_be_any_two_greys(grey):
    looks_like(grey(page(BIG[1], 250, 250, 40, 60)), BIG[1])


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("k", range(8))
def test_a_digit_may_touch_all_four_borders(inverted, k):
    looks_like(crop(BIG[k]) if inverted else 1 - crop(BIG[k]), BIG[k])


def test_a_heavy_foot_draws_no_digit_out_of_the_image():
    ink = page(np.ones((20, 100)), 100, 100, 80, 0)
    ink[:, 46:54] = 1
    (digit,) = cut_digits(1 - np.pad(ink, 20))
    rows = (digit > 0).any(axis=1).nonzero()[0]
    assert (rows[0], rows[-1]) == (0, 19)


# Photographs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", range(3))
@pytest.mark.parametrize("shadow", [1.0, 0.5])
def test_uneven_light_and_a_shadow_across_the_digit_change_nothing(k, shadow):
    looks_like(photograph(page(BIG[k], 320, 340, 80, 100), shadow=shadow), BIG[k])


@pytest.mark.parametrize("shadow", [1.0, 0.6])
def test_chalk_on_a_board_in_uneven_light(shadow):
    looks_like(1 - photograph(page(BIG[2], 320, 340, 80, 100), shadow=shadow), BIG[2])


@pytest.mark.parametrize("k", range(3))
def test_a_pale_pencil_is_found_whole(k):
    looks_like(photograph(page(BIG[k], 320, 340, 80, 100), contrast=0.2), BIG[k])


@pytest.mark.parametrize("table", [0.05, 0.15, 0.3])
@pytest.mark.parametrize("margin", [40, 120, 250])  # the sheet is 58, 27 and 12 % of the image
def test_a_dark_table_around_the_sheet_is_no_ink(table, margin):
    for ink in BIG[:2]:
        sheet = 0.9 - 0.6 * page(ink, 260, 260, 60, 60)
        size = 260 + 2 * margin
        looks_like(ndimage.gaussian_filter(table + page(sheet - table, size, size, margin, margin), 1), ink)


@pytest.mark.parametrize(("stroke", "margin"), [(5, 10), (12, 10), (5, 60), (12, 60), (20, 60), (20, 120)])
def test_the_hole_of_a_clocks_digit_is_no_ink(stroke, margin):
    digit = np.ones((140, 80))
    digit[stroke : 70 - stroke // 2, stroke:-stroke] = 0
    for halves in (slice(70 + stroke // 2, -stroke), slice(70 - stroke // 2, -stroke)):  # 8, then 0
        digit[halves, stroke:-stroke] = 0
        grey = 0.9 * page(digit, 140 + 2 * margin, 80 + 2 * margin, margin, margin)
        assert np.array_equal(without_table(grey), grey)


@pytest.mark.parametrize(("ink", "squared"), [(BIG[0], False), (BIG[1], True)], ids=["lined", "squared"])
@pytest.mark.parametrize(("dark", "slope"), [(0.25, 0.0), (0.5, 0.02), (0.9, -0.03)])
def test_lines_of_the_paper_are_no_ink(ink, squared, dark, slope):
    ruled = rule(page(ink, 320, 340, 80, 100), 37, dark, slope, squared)
    looks_like(photograph(ruled), ink)
    looks_like(1 - ruled, ink)


def test_a_strip_on_lined_paper():
    looks_like(photograph(rule(row(BIG[:4], gap=50, margin=60), 45, 0.4)), *BIG[:4])


@pytest.mark.parametrize("count", [2, 5])
def test_a_photographed_strip_falls_into_its_digits(count):
    looks_like(photograph(row(BIG[:count], gap=50, margin=60), shadow=0.6), *BIG[:count])


def test_several_digits_in_a_square_photograph_are_counted_too():
    strip = row(BIG[:3], gap=40, margin=0)
    looks_like(photograph(page(strip, 600, 600, 200, 80)), *BIG[:3])


# Specks and pieces ---------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("lit", [lambda ink: 1 - ink, photograph], ids=["drawn", "photographed"])
def test_stray_pixels_are_no_digits(count, lit):
    drawing = row(BIG[:count], gap=60, margin=70)
    generator = np.random.default_rng(0)
    for y, x in generator.integers(2, 60, (12, 2)):
        drawing[y : y + 3, x : x + 3] = drawing[-y - 3 : -y, -x - 3 : -x] = 1
    looks_like(lit(drawing), *BIG[:count])


def test_a_stray_pixel_in_a_strip_of_squares_is_no_digit(mnist_like):
    strip = np.concatenate([mnist_like[0], np.zeros((28, 28)), mnist_like[1]], axis=1) / 255
    strip[14, 42] = 1
    with pytest.raises(UnreadableError, match="has a blank square among its 3"):
        cut_digits(strip)


def test_a_stray_pixel_alone_is_a_blank_page():
    lonely = np.ones((28, 28))
    lonely[9, 17] = 0
    with pytest.raises(UnreadableError, match="shows no digit that differs from its paper in brightness"):
        cut_digits(lonely)


@pytest.mark.parametrize("cut", [0.3, 0.5, 0.7])
def test_a_digit_in_two_pieces_above_each_other_is_one(cut):
    for ink in BIG[:6]:
        broken = ink.copy()
        place = round(cut * len(ink))
        broken[place : place + 5] = 0
        looks_like(1 - row([broken, BIG[7]], gap=50, margin=30), ink, BIG[7], least=0.85)


def test_a_piece_beside_its_digit_belongs_to_it():
    five = page(np.ones((100, 18)), 100, 90, 0, 0)
    five[:18, 28:80] = 1  # its bar, ten pixels away
    assert len(cut_digits(1 - row([five, BIG[0]], gap=60, margin=30))) == 2


def test_a_piece_far_above_its_digit_belongs_to_it():
    five = page(np.ones((100, 40)), 160, 60, 60, 10)
    five[:18] = 1  # its bar, 42 pixels away
    assert len(cut_digits(1 - row([five, BIG[0]], gap=60, margin=30))) == 2


def test_a_high_piece_within_a_digit_belongs_to_it():
    zero = np.ones((120, 80))
    zero[15:-15, 15:-15] = 0
    zero[25:-25, 35:45] = 1
    assert len(cut_digits(1 - row([zero, BIG[0]], gap=60, margin=30))) == 2


def test_a_blot_between_digits_is_none():
    looks_like(1 - row([BIG[0], np.ones((30, 30)), BIG[1]], gap=50, margin=30), BIG[0], BIG[1])


def test_digits_close_to_each_other_stay_apart():
    looks_like(1 - row(BIG[:3], gap=8, margin=30), *BIG[:3])


def test_digits_of_different_heights_stay_apart():
    small = draw(INKS[3], 4)
    looks_like(1 - row([BIG[0], small, BIG[2]], gap=40, margin=30), BIG[0], small, BIG[2])


def test_digits_below_each_other_are_refused():
    wide = row([BIG[0], BIG[1]], 40, 60)
    column = np.concatenate([wide, wide])
    with pytest.raises(UnreadableError, match="has digits below each other"):
        cut_digits(1 - column)


# JPEG strips ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("quality", [30, 50, 80, 95])
@pytest.mark.parametrize("factor", [1, 3])
@pytest.mark.parametrize("inverted", [False, True])
def test_a_strip_saved_as_jpeg_has_as_many_digits_as_before(quality, factor, inverted):
    for first in range(0, 12, 4):
        strip = enlarge(np.concatenate(INKS[first : first + 4], axis=1), factor)
        assert len(cut_digits(jpeg(1 - strip if inverted else strip, quality))) == 4


@pytest.mark.parametrize("quality", [30, 80])
def test_so_has_one_with_any_gaps(quality):
    generator = np.random.default_rng(0)
    for first in range(0, 24, 4):
        parts = [np.pad(ink, ((0, 0), (0, generator.integers(9)))) for ink in INKS[first : first + 4]]
        assert len(cut_digits(jpeg(np.concatenate(parts, axis=1), quality))) == 4


@pytest.mark.slow
@pytest.mark.parametrize("quality", range(30, 96, 13))
def test_99_of_100_strips_of_mnist_saved_as_jpeg_have_four_digits(real_root, quality):
    images = load_splits("mnist", real_root)["test"].images[:400].numpy() / 255
    strips = [jpeg(np.concatenate(images[4 * k : 4 * k + 4], axis=1), quality) for k in range(100)]
    right = sum(len(cut_digits(strip)) == 4 for strip in strips)
    print(f"quality {quality}: {right} of 100 strips have four digits")
    assert right >= 99


# Nothing to read -----------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("shape", [(28, 28), (28, 84), (30, 70), (300, 200)])
def test_an_even_page_is_blank(shape, level):
    with pytest.raises(UnreadableError, match="shows no digit that differs from its paper in brightness"):
        cut_digits(np.full(shape, level))


@pytest.mark.parametrize("shape", [(28, 28), (300, 200), (1024, 1024)])
@pytest.mark.parametrize("pattern", ["stripes", "squares", "dots", "rounding"])
def test_a_pattern_of_single_pixels_is_blank(shape, pattern):
    """As in a dithered picture of one grey; Otsu's threshold finds nothing lighter there."""
    rows, columns = np.indices(shape)
    grey = {
        "stripes": columns % 2, "squares": (rows + columns) % 2, "dots": rows % 2 * (columns % 2),
        "rounding": 0.5 + 1e-7 * np.random.default_rng(0).random(shape),
    }[pattern]  # fmt: skip
    with pytest.raises(UnreadableError, match="shows no digit that differs from its paper in brightness"):
        cut_digits(grey.astype(float))


@pytest.mark.parametrize("noise", [0.004, 0.02, 0.05])
def test_grain_and_falling_light_are_no_ink(noise):
    with pytest.raises(UnreadableError, match="shows no digit that differs from its paper in brightness"):
        cut_digits(photograph(np.zeros((320, 340)), noise=noise))


def test_an_empty_lined_page_is_blank():
    with pytest.raises(UnreadableError, match="shows no digit that differs from its paper in brightness"):
        cut_digits(photograph(rule(np.zeros((320, 340)), 37, 0.5, 0.02)))


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (1, 300), (300, 4)])
def test_an_image_of_a_few_pixels_is_refused(shape):
    noise = np.random.default_rng(0).random(shape)
    with pytest.raises(UnreadableError, match=f"has {shape[1]}×{shape[0]} pixels, too few"):
        cut_digits(noise)
