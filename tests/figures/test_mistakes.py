"""A list of mistakes has their names, labels, answers, beginnings and ends."""

from __future__ import annotations

import io

from seqsum.figures.mistakes import Mistake, plot_mistakes


def texts_of(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_beginning_and_end_never_overlap():
    def parts(count):
        mistake = Mistake("", "", "", "", [str(word) for word in range(count)])
        return mistake.beginning.split(), mistake.end.split()

    assert parts(0) == ([], [])
    assert parts(8) == ([*map(str, range(8))], [])
    assert parts(11) == ([*map(str, range(8))], ["8", "9", "10"])
    assert parts(100) == ([*map(str, range(8))], [*map(str, range(92, 100))])


def test_every_mistake_is_listed():
    words = ["so", "bad", "that", "it", "is", "good", "again", "and", "more", "of", "it"]
    figure = plot_mistakes([Mistake("test/pos/1_9.txt", "positive", "negative", "0.991", words)], note="A note")
    assert texts_of(figure) == [
        "A note",
        "test/pos/1_9.txt",
        "✗ negative 0.991, is positive",
        "so bad that it is good again and … more of it",
    ]


def test_letters_that_the_font_lacks_are_boxes_and_dollars_are_no_formula():
    figure = plot_mistakes([Mistake("$x^", "a", "b$_", "0.9", ["電影", "кино", "café"])])
    assert texts_of(figure)[2] == "□□ кино café"
    figure.savefig(io.BytesIO(), format="png")  # a missing letter would be a warning, which is an error in tests
