"""Made-up film reviews, for tests and for machines without the real ones."""

from __future__ import annotations

import random

from seqsum.data.reviews.files import ReviewFile

GOOD = ("wonderful", "brilliant", "moving", "funny", "superb", "charming", "gripping", "delightful")
BAD = ("awful", "boring", "dull", "terrible", "wooden", "tedious", "silly", "annoying")
THINGS = ("the plot", "the cast", "the music", "the ending", "the script", "the lead actor", "the camera work")
NEUTRAL = (
    "I saw it on a Sunday evening with my brother.",
    "It runs for about two hours.",
    "The story takes place in a small town by the sea.",
    "A detective returns to the house of his parents.",
    "There are trains, letters and a long winter.",
    "It was made after a novel that I have not read.",
)
REVIEWS = {"train": 1_000, "test": 500}  # of each class
STARS = {0: (1, 2, 3, 4), 1: (7, 8, 9, 10)}


def make_reviews() -> list[ReviewFile]:
    """Make reviews in the form of the real ones, always the same, ordered by split, label and number.

    Most opinions in a review agree with its label, but not all, and some are negated.
    """
    chance = random.Random(0)
    return sorted(
        ReviewFile(split, label, number, chance.choice(STARS[label]), _text(chance, label))
        for split, count in REVIEWS.items()
        for label in (0, 1)
        for number in range(count)
    )


def _text(chance: random.Random, label: int) -> str:
    opinions = [_opinion(chance, good=(chance.random() < 0.8) == bool(label)) for _ in range(chance.randint(2, 7))]
    fillers = chance.choices(NEUTRAL, k=chance.randint(0, 6))
    sentences = opinions + fillers
    chance.shuffle(sentences)
    return " ".join(sentences).replace(". I ", ".<br /><br />I ")


def _opinion(chance: random.Random, good: bool) -> str:
    thing = chance.choice(THINGS).capitalize()
    if chance.random() < 0.2:
        return f"{thing} is not {chance.choice(BAD if good else GOOD)}."
    return f"{thing} is {chance.choice(GOOD if good else BAD)}{chance.choice(('.', '!'))}"
