"""Letters that no installed font has become boxes, without a warning; others are drawn as they are."""

from types import SimpleNamespace

import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.font_manager import findfont

from seqsum.figures import letters, plot_decisions
from seqsum.figures.attention import Attended, plot_attention
from seqsum.figures.classified import plot_classified
from seqsum.figures.mistakes import Mistake, plot_mistakes
from seqsum.figures.words import plot_words

WORD = "日本 Größe $x$ ✗"
BOXED = "□□ Größe $x$ ✗"


@pytest.fixture
def installed(monkeypatch):
    """Only the fonts of this name are there, besides matplotlib's own; all are one file."""

    def only(*names):
        file = findfont("DejaVu Sans")
        entries = [SimpleNamespace(name=name, fname=file) for name in ("Other", *names, "DejaVu Sans")]
        monkeypatch.setattr(letters, "fontManager", SimpleNamespace(ttflist=entries, findfont=lambda name: file))
        letters.fonts.cache_clear()

    yield only
    letters.fonts.cache_clear()


def test_a_font_for_them_stands_behind_matplotlibs_own(installed):
    installed("Yu Gothic", "Noto Sans CJK JP")
    assert list(letters.fonts()) == ["DejaVu Sans", "Noto Sans CJK JP", "Yu Gothic"]


def test_letters_are_those_of_the_face_that_draws_them():
    letters.fonts.cache_clear()
    assert letters.drawable("القط ينام ∮ ⵣ") == "القط ينام ∮ ⵣ", "the oblique face of matplotlib's own font lacks these"


def test_what_no_font_has_becomes_a_box(installed):
    installed()
    assert letters.drawable(WORD) == BOXED


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plot_attention({WORD: Attended([WORD], [WORD], torch.ones(1, 1))}),
        lambda: plot_classified(torch.rand(2, 1, 8, 8), torch.eye(2), [WORD, "other"], labels=torch.tensor([0, 0])),
        lambda: plot_classified(torch.rand(1, 1, 8, 8), torch.eye(2)[:1], ["one", "other"], sources=[WORD]),
        lambda: plot_decisions(torch.rand(1, 8, 8), torch.rand(1, 8, 3), names=[WORD]),
        lambda: plot_words({"model": torch.eye(3)}, {"kind": [WORD, "a", "b"]}),
        lambda: plot_mistakes([Mistake(WORD, WORD, WORD, "0.9", [WORD])]),
    ],
    ids=["attention", "classes", "sources", "decisions", "words", "mistakes"],
)
def test_words_of_all_languages_are_drawn_without_a_warning(installed, recwarn, draw):
    installed()
    figure = draw()
    FigureCanvasAgg(figure).draw()
    assert [str(warning.message) for warning in recwarn if "Glyph" in str(warning.message)] == []
    assert any(BOXED[:8] in text.get_text() for text in figure.findobj(lambda part: hasattr(part, "get_text")))
