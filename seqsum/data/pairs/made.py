"""A made-up language and its translation into English, for tests and for machines without real sentence pairs."""

from __future__ import annotations

import random
from typing import NamedTuple

from seqsum.data.base import Split
from seqsum.data.pairs.sentence_pairs import ParallelText, SentencePair, SentencePairs
from seqsum.errors import InputError

LANGUAGES = SentencePair("made", "en")
COUNTS: dict[Split, int] = {"train": 4_000, "val": 250, "test": 250}


class Noun(NamedTuple):
    """A noun in English and in the made-up language, and the ending of the adjectives behind it there."""

    english: str
    made: str
    ending: str


NOUNS = (
    Noun("man", "hom", "o"),
    Noun("woman", "femi", "a"),
    Noun("child", "krin", "u"),
    Noun("dog", "hund", "o"),
    Noun("cat", "kati", "a"),
    Noun("bird", "vugo", "o"),
    Noun("horse", "kabal", "u"),
)
THINGS = (
    Noun("ball", "pilu", "u"),
    Noun("boat", "boto", "o"),
    Noun("bicycle", "rada", "a"),
    Noun("tree", "dreva", "a"),
    Noun("house", "domu", "u"),
    Noun("picture", "imaga", "a"),
)
ADJECTIVES = (("small", "pit"), ("big", "grand"), ("red", "rus"), ("blue", "blav"), ("old", "vet"), ("young", "jun"))
VERBS = (("sees", "vidan"), ("likes", "likan"), ("finds", "fintan"), ("follows", "segan"), ("paints", "pentan"))
PLACES = (("at the beach", "pa plaj"), ("in the park", "ni parku"), ("on the street", "su strat"))
TIMES = (("today", "idag"), ("now", "nun"), ("at night", "notu"))


def make_pairs(languages: SentencePair) -> ParallelText:
    """Make sentence pairs, always the same and each once.

    The made-up language puts the time first, adjectives behind their nouns, and the verb last. It has no articles, a
    suffix `-na` for `the`, and adjectives that agree with their nouns:

        The small cat follows a big boat in the park now.   →   Nun katina pita boto grando ni parku segan.

    Args:
        languages: `made` and `en`, in either order.

    Raises:
        InputError: They are others.
    """
    if sorted(languages) != sorted(LANGUAGES):
        raise InputError(
            f"`--data.source` (={languages.source}) and `--data.target` (={languages.target}) must be made and en, in "
            "either order: these are the languages of made-up sentences"
        )
    chance = random.Random(0)
    found: dict[SentencePair, None] = {}  # in their order
    while len(found) < sum(COUNTS.values()):
        found[_pair(chance)] = None
    rows = iter(found if languages == LANGUAGES else (SentencePair(target, source) for source, target in found))
    splits = {}
    for split, count in COUNTS.items():
        source, target = zip(*(next(rows) for _ in range(count)), strict=True)
        splits[split] = SentencePairs(source, target)
    return ParallelText("made", languages, splits)


def _pair(chance: random.Random) -> SentencePair:
    subject, subject_made = _phrase(chance, NOUNS)
    object_, object_made = _phrase(chance, NOUNS + THINGS)
    verb, verb_made = chance.choice(VERBS)
    place, place_made = chance.choice(PLACES) if chance.random() < 0.5 else ("", "")
    time, time_made = chance.choice(TIMES) if chance.random() < 0.3 else ("", "")
    english = [subject, verb, object_, place, time]
    made = [time_made, subject_made, object_made, place_made, verb_made]
    return SentencePair(*(_sentence(parts) for parts in (made, english)))


def _phrase(chance: random.Random, nouns: tuple[Noun, ...]) -> tuple[str, str]:
    """Make a noun with its article and up to two adjectives, in English and in the made-up language."""
    noun = chance.choice(nouns)
    adjectives = chance.sample(ADJECTIVES, chance.choice((0, 1, 1, 2)))
    article, suffix = chance.choice((("a", ""), ("the", "na")))
    english = [article, *(english for english, _ in adjectives), noun.english]
    made = [noun.made + suffix, *(made + noun.ending for _, made in adjectives)]
    return (" ".join(english).replace("a old", "an old"), " ".join(made))


def _sentence(parts: list[str]) -> str:
    text = " ".join(filter(None, parts))
    return f"{text[0].upper()}{text[1:]}."
