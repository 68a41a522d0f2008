"""Files, folders and patterns become sequences; what is skipped is named."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from seqsum.data.images import read_images
from seqsum.data.images.ink import NO_INK
from seqsum.data.images.segment import cut_digits
from seqsum.data.own import OwnDigits, OwnSequence, Skipped
from seqsum.errors import InputError
from tests.data.images.drawing import draw, rendered

# in MNIST's form, so that each can be recognised by its pixels
DIGITS = [torch.from_numpy(cut_digits(1 - np.pad(draw(ink, 6), 20))[0]) for ink in rendered(8)]
NOTES = b"\x00\x05\x16\x07" + bytes(80)  # as macOS keeps them in ._x.png


def save(path: Path, *digits: torch.Tensor) -> str:
    Image.fromarray(torch.cat(digits, dim=1).numpy()).save(path)
    return str(path)


def blank(path: Path) -> str:
    Image.new("L", (60, 60), 255).save(path)
    return str(path)


def holds(sequence: OwnSequence, *expected: int) -> bool:
    return torch.equal(sequence.digits, torch.stack([DIGITS[k] for k in expected]))


# Order ---------------------------------------------------------------------------------------------


def test_a_folder_is_read_in_natural_order(tmp_path):
    names = ["img1.png", "img2.PNG", "img10.png", "img10b.bmp", "later.png"]
    for k, name in enumerate(names):
        save(tmp_path / name, DIGITS[k])
    (sequence,) = read_images([str(tmp_path)]).sequences
    assert holds(sequence, 0, 1, 2, 3, 4)
    assert sequence.sources == [str(tmp_path / name) for name in names]


def test_files_keep_the_order_in_which_they_are_given(tmp_path):
    paths = [save(tmp_path / f"{name}.png", DIGITS[k]) for k, name in enumerate("cab")]
    found = read_images(paths)
    assert holds(found.sequences[0], 0, 1, 2)
    assert (len(found.sequences), found.skipped, found.others) == (1, [], [])


def test_a_pattern_stands_for_its_files_in_natural_order(tmp_path):
    for k, name in enumerate(["9.png", "10.png", "10.jpeg"]):
        save(tmp_path / name, DIGITS[k])
    (sequence,) = read_images([str(tmp_path / "*.png")]).sequences
    assert holds(sequence, 0, 1)


def test_a_pattern_of_folders_within_folders_reads_each_file_once(tmp_path):
    (tmp_path / "of/deep").mkdir(parents=True)
    for k, name in enumerate(["2.png", "10.png", "deep/1.png"]):
        save(tmp_path / "of" / name, DIGITS[k])
    (tmp_path / "of/deep/none").mkdir()
    found = read_images([str(tmp_path / "of/**")])
    assert holds(found.sequences[0], 0, 1, 2)
    assert not found.left_out()


def test_files_that_are_linked_more_than_once_are_as_many(tmp_path):
    (tmp_path / "row").mkdir()
    paths = [save(tmp_path / f"{k}.png", DIGITS[k]) for k in range(2)]
    for place, k in enumerate([0, 1, 0]):
        (tmp_path / f"row/{place}.png").symlink_to(paths[k])
    for given in ("row", "row/*.png"):
        (sequence,) = read_images([str(tmp_path / given)]).sequences
        assert holds(sequence, 0, 1, 0)


def test_a_link_in_a_circle_reads_no_file_twice(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/loop").symlink_to(tmp_path, target_is_directory=True)
    paths = [save(tmp_path / name, DIGITS[k]) for k, name in enumerate(["1.png", "inner/2.png"])]
    (sequence,) = read_images([str(tmp_path / "**/*.png")]).sequences
    assert holds(sequence, 0, 1)
    assert sequence.sources == paths


def test_a_pattern_of_folders_without_images_is_named(tmp_path):
    (tmp_path / "none").mkdir()
    (tmp_path / "none/notes.txt").write_text("")
    found = read_images([save(tmp_path / "1.png", DIGITS[0]), str(tmp_path / "no*")])
    ((source, reason),) = found.skipped
    assert (source, reason[:16]) == (str(tmp_path / "no*"), "matches no image")
    assert found.others == [str(tmp_path / "none/notes.txt")]


def test_a_file_whose_name_is_a_pattern_is_that_file(tmp_path):
    path = save(tmp_path / "digit[1].png", DIGITS[0])
    save(tmp_path / "digit1.png", DIGITS[1])
    assert holds(read_images([path]).sequences[0], 0)


@pytest.mark.parametrize("given", ["~/digits", "~/digits/0.png", "~/digits/*.png"])
def test_a_tilde_is_the_users_home(tmp_path, monkeypatch, given):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "digits").mkdir()
    save(tmp_path / "digits" / "0.png", DIGITS[0])
    assert holds(read_images([given]).sequences[0], 0)


def test_singles_are_one_sequence_and_each_strip_its_own(tmp_path):
    (tmp_path / "all").mkdir()
    save(tmp_path / "all" / "1.png", DIGITS[0])
    strip = save(tmp_path / "all" / "2.png", *DIGITS[1:4])
    save(tmp_path / "all" / "3.png", DIGITS[4])
    apart = save(tmp_path / "strip.png", *DIGITS[5:7])
    singles, first, second = read_images([str(tmp_path / "all"), apart]).sequences
    assert holds(singles, 0, 4)
    assert holds(first, 1, 2, 3)
    assert holds(second, 5, 6)
    assert first.sources == [strip] * 3


def test_strips_alone_make_no_sequence_of_singles(tmp_path):
    strip = save(tmp_path / "strip.png", DIGITS[1], DIGITS[2])
    assert [len(sequence.digits) for sequence in read_images([strip, strip]).sequences] == [2, 2]


@pytest.mark.parametrize("suffix", [".tif", ".gif"])
def test_every_frame_is_a_step_and_says_which_it_is(tmp_path, suffix):
    first, *others = [Image.fromarray(DIGITS[k].numpy()) for k in range(3)]
    path = tmp_path / f"scan{suffix}"
    first.save(path, save_all=True, append_images=others)
    (sequence,) = read_images([str(path)]).sequences
    assert holds(sequence, 0, 1, 2)
    assert sequence.sources == [f"{path}, frame {number}" for number in (1, 2, 3)]


# Skipped files -------------------------------------------------------------------------------------


def test_what_cannot_be_read_is_named_and_the_rest_is_read(tmp_path):
    (tmp_path / "digits").mkdir()
    folder = tmp_path / "digits"
    save(folder / "1.png", DIGITS[0])
    blank(folder / "2.png")
    save(folder / "3.png", DIGITS[1])
    (folder / "4.png").write_text("no image")
    notes = folder / "._1.png"
    notes.write_bytes(NOTES)
    missing, pattern = str(tmp_path / "typo.png"), str(tmp_path / "*.tif")
    found = read_images([str(folder), str(notes), missing, pattern])
    (sequence,) = found.sequences
    assert holds(sequence, 0, 1)
    assert found.skipped == [
        Skipped(str(folder / "2.png"), NO_INK),
        Skipped(str(folder / "4.png"), "can't be read as an image (its format is unknown)"),
        Skipped(str(notes), "is no image: macOS keeps attributes of 1.png in it"),
        Skipped(missing, "does not exist"),
        Skipped(pattern, "matches no file"),
    ]


@pytest.mark.parametrize("name", ["sub.png", "sub", "sub.txt"])
def test_a_folder_in_a_folder_is_no_image_whatever_its_name(tmp_path, name):
    save(tmp_path / "1.png", DIGITS[0])
    (tmp_path / name).mkdir()
    found = read_images([str(tmp_path)])
    assert holds(found.sequences[0], 0)
    assert (found.skipped, found.others) == ([], [f"{tmp_path / name}/"])


def test_a_heic_image_in_a_folder_is_not_passed_over(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    save(tmp_path / "1.png", DIGITS[0])
    (tmp_path / "2.HEIC").write_bytes(b"\x00\x00\x00\x18ftypheic" + bytes(200))
    (skipped,) = read_images([str(tmp_path)]).skipped
    assert skipped == Skipped(str(tmp_path / "2.HEIC"), "is a HEIC image: `pip install pillow-heif` to read it")


@pytest.mark.parametrize("kind", ["noise", "colour"])
def test_of_an_image_without_ink_nothing_more_is_said_than_is_true(tmp_path, kind):
    """It isn't blank."""
    red, green = np.array([255, 0, 0]), np.array([0, 130, 0])  # of the same brightness
    pixels = np.where(DIGITS[0].numpy().repeat(8, 0).repeat(8, 1)[..., None] > 127, red, green)
    if kind == "noise":
        pixels = np.random.default_rng(0).integers(0, 256, (200, 200, 3))
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "1.png")
    with pytest.raises(InputError, match=f"1.png {NO_INK}"):
        read_images([str(tmp_path / "1.png")])


def test_a_blank_frame_is_named_and_the_others_are_read(tmp_path):
    frames = [Image.fromarray(DIGITS[0].numpy()), Image.new("L", (28, 28)), Image.fromarray(DIGITS[1].numpy())]
    path = tmp_path / "scan.tif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    found = read_images([str(path)])
    assert holds(found.sequences[0], 0, 1)
    assert found.skipped == [Skipped(f"{path}, frame 2", NO_INK)]


def test_other_files_of_a_folder_are_named_but_hidden_ones(tmp_path):
    save(tmp_path / "1.png", DIGITS[0])
    for name in ("notes.txt", "scan.pdf", ".DS_Store", ".1.png"):
        (tmp_path / name).write_text("")
    found = read_images([str(tmp_path)])
    assert found.others == [str(tmp_path / "notes.txt"), str(tmp_path / "scan.pdf")]
    assert found.skipped == []


def test_a_folder_without_images_is_named_with_what_is_allowed(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(InputError, match=r"`--data.images`: .* holds no image \(.png, .*\.heic"):
        read_images([str(tmp_path)])


@pytest.mark.skipif(os.name == "nt" or os.getuid() == 0, reason="folders that may not be listed")
def test_a_folder_that_may_not_be_listed_is_named(tmp_path):
    (tmp_path / "closed").mkdir(mode=0)
    found = read_images([save(tmp_path / "1.png", DIGITS[0]), str(tmp_path / "closed")])
    assert found.skipped == [Skipped(str(tmp_path / "closed"), "can't be read (Permission denied)")]


def test_if_nothing_can_be_read_the_error_says_why_of_each(tmp_path):
    (tmp_path / "text.png").write_text("five minus three")
    with pytest.raises(InputError) as error:
        read_images([blank(tmp_path / "1.png"), str(tmp_path / "text.png")])
    assert str(error.value).splitlines() == [
        f"`--data.images`: {tmp_path}/1.png {NO_INK}",
        f"{tmp_path}/text.png can't be read as an image (its format is unknown)",
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="where names may be of any bytes")
def test_names_that_are_no_text_can_be_printed(tmp_path):
    save(tmp_path / os.fsdecode(b"\xff.png"), DIGITS[0])
    blank(tmp_path / os.fsdecode(b"\xfe.png"))
    notes = tmp_path / os.fsdecode(b"._\xfe.png")
    notes.write_bytes(NOTES)
    (tmp_path / os.fsdecode(b"\xff.txt")).write_text("")
    found = read_images([str(tmp_path), str(notes)])
    assert found.names() == [[r"\udcff.png"]]
    printed = [*found.sequences[0].sources, *(text for skipped in found.skipped for text in skipped), *found.others]
    assert len(printed) == 6
    assert "".join(printed).isascii()


# Names ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sources", "names"),
    [
        (["a/1.png", "a/2.png"], ["1.png", "2.png"]),
        (["a/b/1.png", "a/c/1.png"], ["b/1.png", "c/1.png"]),
        (["1.png", "a/1.png"], ["1.png", "a/1.png"]),
        (["/x/1.tif, frame 1", "/x/1.tif, frame 2"], ["1.tif, frame 1", "1.tif, frame 2"]),
        (["/x/1.png", "a/1.png"], ["/x/1.png", "a/1.png"]),
        (["/1.png"], ["1.png"]),
    ],
)
def test_names_leave_out_the_folder_that_all_are_in(sources, names):
    digits = torch.zeros(len(sources), 28, 28)
    assert OwnDigits([OwnSequence(digits, sources)], [], []).names() == [names]
    apart = [OwnSequence(digits[:1], [source]) for source in sources]
    assert OwnDigits(apart, [], []).names() == [[name] for name in names]


def test_names_of_the_first_digits_are_those_of_the_first_sequences():
    sequences = [OwnSequence(torch.zeros(2, 28, 28), [f"{name}1.png", f"{name}2.png"]) for name in "abc"]
    assert OwnDigits(sequences, [], []).names_of_first(3) == ["a1.png", "a2.png", "b1.png"]


def test_what_else_is_in_a_folder_is_named_also_where_everything_could_be_read():
    said = "Not images, by their names: a.txt, b.csv"
    assert OwnDigits([], [], ["a.txt", "b.csv"]).left_out() == [said]
    assert OwnDigits([], [Skipped("a.png", "is empty")], []).left_out() == ["Skipped: a.png is empty"]
