"""Sentences as words and punctuation, and back."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache

from seqsum.data.text.sentences import SentenceVocabulary, normalise
from seqsum.data.text.vocabulary import WRITTEN

EMOJI = "\U0001f000-\U0001faff"
DASH = "–"  # between spaces; a hyphen is inside a word
CLITIC = r"'(?:[stdm]|re|ve|ll|[STDM]|RE|VE|LL)"  # of English; what ends with an apostrophe is an elision, as in French
CLOSING = frozenset(".,;:!?%)]}…”’›»°")
OPENING = frozenset("([{„«‹‚¿¡")
BOTH = frozenset("-/")
QUOTED = frozenset("“”\"'»)")  # a hyphen that starts a word belongs to these, as in `“open”-sign`
CLOSED_BY = {"“": "„", '"': '"', "'": "'"}  # marks that close a quotation if one is open, and open one otherwise


class WordVocabulary(SentenceVocabulary):
    """Words by `split_words` and their ids.

    Args:
        words: All words but the special four, the most frequent first.
        lower_case: Whether sentences are read in lower case.
    """

    @classmethod
    def from_text(cls, text: str, lower_case: bool) -> WordVocabulary:
        """Make the vocabulary that `to_text` wrote."""
        return cls(text.split("\n") if text else [], lower_case)

    def to_text(self) -> str:
        return "\n".join(self.vocabulary.words[len(WRITTEN) :])

    def split(self, sentence: str) -> list[str]:
        return split_words(normalise(sentence, self.lower_case))

    def join(self, pieces: Sequence[str]) -> str:
        return join_words(pieces)


def learn_words(sentences: Iterable[str], size: int, min_count: int, lower_case: bool) -> WordVocabulary:
    """Choose the most frequent words of sentences; of words that are equally frequent, the first by the alphabet.

    Args:
        sentences: Sentences of a language.
        size: Most ids, which count the special four.
        min_count: How often a word must come.
        lower_case: Whether to read in lower case.
    """
    split = WordVocabulary([], lower_case).split
    counts = Counter(word for sentence in sentences for word in split(sentence))
    order = sorted((word for word in counts if counts[word] >= min_count), key=lambda word: (-counts[word], word))
    return WordVocabulary(order[: size - len(WRITTEN)], lower_case)


def split_words(text: str) -> list[str]:
    """Split a normalised sentence into words and punctuation.

    A word is a run of characters that are neither spaces nor symbols; accents that are characters of their own
    belong to it, in any script. Then:

    - every other symbol is a word by itself: `Hi (you)!` is `Hi ( you ) !`;
    - a number keeps its points and commas: `1,000.50`;
    - a hyphen inside a word is a word: `t-shirt` is `t - shirt`. One at a word's start or end stays with it, as in
      `Land- und`. Hyphens that touch no word, and double ones, become a dash, `–`;
    - English endings are words: `man's` is `man 's`; any other apostrophe inside a word ends one: `l'eau` is `l' eau`.
    """
    return [word for part in text.split() for word in _split_part(part)]


@lru_cache(maxsize=2**16)  # the same parts come again and again: five times as fast
def _split_part(part: str) -> list[str]:
    """Split what stands between two spaces."""
    dashes, words = _rules()
    return words.findall(dashes.sub(f" {DASH} ", part))


@cache
def _rules() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Make the expressions for free hyphens and for words; listing all symbols takes a moment."""
    every = map(chr, range(0x10000))  # in sets of these, `re` looks up a bit; beyond, it compares one after another
    symbols = "".join(symbol for symbol in every if unicodedata.category(symbol)[0] in "PS" and symbol not in "'-")
    inside = rf"[^\s'\-{re.escape(symbols)}{EMOJI}]"
    dashes = rf"(?<!{inside})-+(?!{inside})|-{{2,}}"
    words = rf"""
        \d+(?:[.,]\d+)+{inside}*                                                # a number
        |{inside}+(?:-(?!{inside})|(?!{CLITIC}(?!{inside}))'(?={inside}))?      # a word; Land-; l'
        |(?<={inside}){CLITIC}(?!{inside})                                      # 's
        |(?<!{inside})-{inside}+                                                # -helm
        |\S
    """
    return re.compile(dashes), re.compile(re.sub(r"\s+#.*|\n\s*", "", words))


def join_words(words: Sequence[str]) -> str:
    """Join words to a sentence as it is written, the inverse of `split_words` but for the spaces at some symbols.

    Points, closing brackets and their like follow a word without a space; after opening ones there is none. Quotation
    marks open and close in turn.
    """
    text, glued, open_marks = "", True, set[str]()
    for word in words:
        before, after = _glues(word, text, open_marks)
        text += word if before or glued else f" {word}"
        glued = after
    return text


def _glues(word: str, text: str, open_marks: set[str]) -> tuple[bool, bool]:
    """Return whether a word has no space before it, and none after it."""
    if word in BOTH:
        return True, True
    if opened_by := CLOSED_BY.get(word):
        return _quotes(word, opened_by, text, open_marks)
    if word in OPENING:
        open_marks.add(word)
    closes = word in CLOSING or re.fullmatch(CLITIC, word) is not None
    closes |= word[0] == "-" and text[-1:] in QUOTED
    return closes, word in OPENING or (len(word) > 1 and word.endswith("'"))


def _quotes(mark: str, opened_by: str, text: str, open_marks: set[str]) -> tuple[bool, bool]:
    """Close a quotation or open one; an apostrophe after an `s` that closes none belongs to the word."""
    if opened_by in open_marks:
        open_marks.discard(opened_by)
        return True, False
    if mark == "'" and text.endswith("s"):
        return True, False
    open_marks.add(mark)
    return False, True
