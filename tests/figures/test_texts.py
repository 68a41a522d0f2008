"""Words in colour: right colours and values, nothing of the text as markup, readable without colours."""

from __future__ import annotations

import io
import math
import re
from html import unescape
from html.parser import HTMLParser

import pytest
from rich.console import Console

from seqsum.figures.style import write_chance
from seqsum.figures.texts import (
    AGAINST,
    DARK,
    LEAST,
    PAPER,
    TOWARDS,
    Directions,
    ReadText,
    colour_of,
    limit_of,
    list_strongest,
    make_legend,
    make_words_html,
    make_words_text,
    write_change,
)

NAMES = Directions("positive", "negative")
TEXT = ReadText(
    ["a", "superb", "film", "but", "awful"],
    [0.0, 2.0, -0.5, 0.2, -1.1],
    [0.5, 0.88, 0.82, 0.85, 0.65],
    [True, True, True, False, True],
)


class Words(HTMLParser):
    """Collects the spans of a page: text, title and style of each, and every other tag."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[list[str]] = []
        self.tags: list[str] = []
        self.within = False
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.within = tag == "span"
        if self.within:
            given = dict(attributes)
            self.found.append(["", given.get("title", ""), given.get("style", "")])

    def handle_data(self, data):
        if self.within:
            self.found[-1][0] += data

    def handle_endtag(self, tag):
        self.within = False


def printed(text: ReadText = TEXT, limit: float = 2.0, **options) -> str:
    file = io.StringIO()
    Console(file=file, width=80, **options).print(make_words_text(text, NAMES, limit, "mine.txt", "positive"))
    return file.getvalue()


@pytest.mark.parametrize(
    ("change", "colour"),
    [
        *((0.0, None), (0.24, None), (-0.24, None), (0.26, TOWARDS[0]), (-0.26, AGAINST[0])),
        *((1.0, TOWARDS[1]), (-1.5, AGAINST[2]), (2.0, TOWARDS[3]), (99.0, TOWARDS[3]), (-99.0, AGAINST[3])),
        *((math.nan, None), (math.inf, None)),
    ],
)
def test_colours_grow_with_the_change_up_to_the_limit(change, colour):
    assert colour_of(change, limit=2.0) == colour


def test_limit_leaves_out_a_few_extreme_words_and_stays_above_the_least():
    def read(*changes):
        return ReadText(["a"] * len(changes), changes, [0.5] * len(changes), [True] * len(changes))

    assert limit_of([read(*[1.0] * 60), read(*[-1.0] * 60), read(50.0)]) == 1
    assert limit_of([read(*range(101))]) == pytest.approx(98)
    assert limit_of([read(0.01, -0.02)]) == LEAST
    assert limit_of([]) == LEAST
    assert limit_of([read(math.nan, -3.0)]) == 3


def test_html_has_each_word_with_its_colour_and_its_value():
    words = Words(make_words_html(TEXT, NAMES, 2.0, "mine.txt", "positive")).found
    assert [word for word, _, _ in words] == list(TEXT.words)
    backgrounds = [re.search(r"background: (#\w+)", style) for _, _, style in words]
    assert [found and found[1] for found in backgrounds] == [None, TOWARDS[3], AGAINST[0], None, AGAINST[1]]
    assert [title for _, title, _ in words] == [
        "0, then positive with probability 0.500",
        "+2.00, then positive with probability 0.880",
        "−0.50, then positive with probability 0.820",
        "+0.20, then positive with probability 0.850 (not in the vocabulary)",
        "−1.10, then positive with probability 0.650",
    ]
    assert ["underline" in style for _, _, style in words] == [False, False, False, True, False]


def test_nothing_of_a_text_is_markup():
    evil = '<script>alert("1")</script>'
    text = ReadText([evil], [1.0], [0.7], [False])
    html = make_words_html(text, Directions(evil, evil), 1.0, evil, evil) + make_legend(Directions(evil, evil), 1.0)
    found = Words(html)
    assert "script" not in found.tags
    assert found.found[0][0] == evil
    assert (
        unescape(html).count(evil) == 8
    )  # title, verdict, hover, word, direction and word of the list, ends of the legend


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colour", [*TOWARDS, *AGAINST, PAPER])
def test_words_stand_out_from_their_background(colour):
    # 4.5 to 1 is the least of the Web Content Accessibility Guidelines, level AA
    assert (luminance(colour) + 0.05) / (luminance(DARK) + 0.05) > 4.5


def test_stronger_colours_are_darker_so_that_they_are_told_apart_in_grey():
    for scale in (TOWARDS, AGAINST):
        assert [luminance(colour) for colour in scale] == sorted(map(luminance, scale), reverse=True)


def test_both_directions_differ_for_readers_who_see_no_red_or_no_green():
    for towards, against in zip(TOWARDS, AGAINST, strict=True):
        blue, orange = (int(colour[5:], 16) for colour in (towards, against))
        assert blue > orange + 20


def test_legend_names_both_ends_and_has_every_colour():
    html = make_legend(NAMES, 2.0)
    assert re.findall(r"background: (#\w+); padding: 0\.2em", html) == [*AGAINST[::-1], PAPER, *TOWARDS]
    assert [word for word, *_ in Words(html).found] == [
        *("−2.00", "−1.50", "−1.00", "−0.50", "0", "+0.50", "+1.00", "+1.50", "+2.00")
    ]
    assert "towards negative" in html
    assert "towards positive" in html


def test_terminal_has_colours():
    out = printed(force_terminal=True, color_system="truecolor")
    red, green, blue = (int(TOWARDS[3][place : place + 2], 16) for place in (1, 3, 5))
    assert f"48;2;{red};{green};{blue}m" + "superb" in out
    assert re.search(r"\x1b\[4m\s*but", out), "an unknown word is underlined"


@pytest.mark.parametrize("options", [{}, {"force_terminal": True, "color_system": None}])
def test_without_colours_the_same_is_said_in_words(options):
    out = printed(**options)
    assert "48;" not in out
    assert [line.rstrip() for line in re.sub(r"\x1b\[\d*m", "", out).splitlines()] == [
        "mine.txt: positive",
        "a superb film but awful",
        "  towards positive: superb +2.00, but +0.20",
        "  towards negative: awful −1.10, film −0.50",
        "  not in the vocabulary: but",
        "",
    ]


def test_not_a_terminal_gets_no_codes_at_all():
    assert "\x1b" not in printed()


def test_the_strongest_words_come_first_and_each_once():
    words = ["good", "bad", "good", "fine", "ok", "nice", "super", "meh"]
    text = ReadText(words, [1, -1, 3, 0.5, 0.4, 0.3, 0.2, 0.001], [0.5] * 8, [True] * 8)
    assert list_strongest(text, NAMES) == [
        "towards positive: good +3.00, fine +0.50, ok +0.40, nice +0.30, super +0.20",
        "towards negative: bad −1.00",
    ]


def test_a_diverged_network_moves_nothing():
    text = ReadText(["a", "b"], [math.nan, math.nan], [math.nan, math.nan], [True, True])
    assert list_strongest(text, NAMES) == []
    assert "–, then positive with probability –" in make_words_html(text, NAMES, limit_of([text]), "x", "y")
    assert "a b" in printed(text, limit_of([text]))


@pytest.mark.parametrize(
    ("chance", "written"),
    [(0.25, "0.250"), (0.9994, "0.999"), (1.0, "above 0.999"), (0.0, "below 0.001"), (0.0006, "0.001")],
)
def test_no_probability_is_one_or_zero(chance, written):
    assert write_chance(chance) == written


@pytest.mark.parametrize(
    ("change", "written"), [(1.234, "+1.23"), (-0.5, "−0.50"), (0.004, "0"), (-0.004, "0"), (0.0, "0")]
)
def test_changes_have_a_sign_unless_they_are_none(change, written):
    assert write_change(change) == written
